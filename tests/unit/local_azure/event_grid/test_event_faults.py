from local_azure.event_grid.event_faults import FaultInjector, FaultPlan


def injector(**plan: object) -> FaultInjector:
    return FaultInjector(FaultPlan.model_validate(plan))


def test_without_faults_an_event_is_delivered_once_and_at_once() -> None:
    assert injector().delivery_delays("storage", "data", "x") == [0.0]


def test_duplicate_is_the_number_of_deliveries_in_all() -> None:
    assert injector(all={"duplicate": 3, "delay": 2}).delivery_delays("storage", "data", "x") == [2.0, 2.0, 2.0]


def test_a_subscription_has_faults_of_its_own() -> None:
    faults = injector(all={"delay": 1}, subscriptions={"storage/data": {"delay": 5}})
    assert faults.delivery_delays("storage", "data", "x") == [5.0]
    assert faults.delivery_delays("storage", "scripts", "x") == [1.0]


def test_reorder_shuffles_within_its_window_and_repeats_with_its_seed() -> None:
    one, again = injector(seed=1, all={"reorder": 4}), injector(seed=1, all={"reorder": 4})
    waits = [one.delivery_delays("t", "s", "x")[0] for _ in range(50)]
    assert waits == [again.delivery_delays("t", "s", "x")[0] for _ in range(50)]
    assert waits != sorted(waits)
    assert all(0 <= wait <= 4 for wait in waits)


def test_drop_takes_only_the_types_that_are_named() -> None:
    faults = injector(all={"drop": {"eventTypes": ["RunCompleted"]}})
    assert not faults.delivery_delays("workspace", "runs", "RunCompleted")
    assert faults.delivery_delays("workspace", "runs", "RunStatusChanged")


def test_drop_by_chance_takes_some() -> None:
    faults = injector(seed=7, all={"drop": {"probability": 0.5}})
    kept = sum(bool(faults.delivery_delays("t", "s", "x")) for _ in range(200))
    assert 60 < kept < 140


def test_a_new_plan_starts_the_random_numbers_anew() -> None:
    faults = injector(seed=3, all={"reorder": 1})
    before = [faults.delivery_delays("t", "s", "x") for _ in range(5)]
    faults.plan = FaultPlan.model_validate({"seed": 3, "all": {"reorder": 1}})
    assert [faults.delivery_delays("t", "s", "x") for _ in range(5)] == before

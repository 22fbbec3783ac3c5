import pytest
from attrs import evolve

from function_app.domain.receipt import Status
from function_app.ports.training_service import Compute, JobStatus
from tests.unit.simulation import World


def rounds(world: World, number: int) -> None:
    for _ in range(number):
        world.clock.advance(300)
        world.reconcile()
        world.rest()


@pytest.fixture
def waiting(world: World) -> World:
    world.drop_digits()
    world.rest()
    world.training.move(world.live_jobs()[0].name, JobStatus.STARTING)
    world.rest()
    return world


def test_a_job_that_gets_no_node_says_so_once_and_goes_on_waiting(waiting: World) -> None:
    rounds(waiting, 5)
    assert waiting.receipt().reason == "The training service reports: Starting."
    rounds(waiting, 6)
    receipt = waiting.receipt()
    assert receipt.status is Status.STARTING
    assert receipt.reason == (
        "The job has had no node for 30 minutes: the compute gpu-cluster is Succeeded, "
        "and 0 of at most 4 nodes are running."
    )
    assert "quota" in str(receipt.what_to_do)
    assert [change.reason for change in receipt.history].count(receipt.reason) == 1
    assert waiting.training.calls.count(("computes", "")) == 2  # one planned the drop
    waiting.training.move(waiting.live_jobs()[0].name, JobStatus.STARTING)
    waiting.rest()
    assert waiting.receipt().reason == receipt.reason


def test_it_goes_away_when_the_job_starts(waiting: World) -> None:
    rounds(waiting, 7)
    waiting.training.move(waiting.live_jobs()[0].name, JobStatus.RUNNING)
    waiting.rest()
    receipt = waiting.receipt()
    assert (receipt.status, receipt.reason, receipt.what_to_do) == (Status.RUNNING, None, None)
    waiting.run_job()
    assert waiting.receipt().status is Status.REGISTERED


def test_a_job_that_lost_its_node_is_told_anew(waiting: World) -> None:
    name = waiting.live_jobs()[0].name
    waiting.training.move(name, JobStatus.RUNNING)
    waiting.rest()
    rounds(waiting, 8)
    waiting.training.move(name, JobStatus.STARTING)
    waiting.rest()
    rounds(waiting, 3)
    assert "reports: Starting" in str(waiting.receipt().reason)
    rounds(waiting, 4)
    assert "no node for 30 minutes" in str(waiting.receipt().reason)


def test_the_computes_own_words_stand_there(waiting: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (compute, _) = waiting.training.computes()
    poor = evolve(compute, state="Steady", error="Quota exceeded: 0 of 4 cores.")
    monkeypatch.setattr(type(waiting.training), "computes", lambda _: [poor])
    rounds(waiting, 7)
    assert str(waiting.receipt().reason).endswith("nodes are running. It reports: Quota exceeded: 0 of 4 cores.")


def test_a_compute_that_is_gone_is_named(waiting: World, monkeypatch: pytest.MonkeyPatch) -> None:
    none: list[Compute] = []
    monkeypatch.setattr(type(waiting.training), "computes", lambda _: none)
    rounds(waiting, 7)
    assert "the compute 'gpu-cluster' no longer exists" in str(waiting.receipt().reason)


def test_the_deadline_can_be_moved_and_switched_off() -> None:
    for deadline, is_told in ((600.0, True), (0.0, False)):
        world = World.make(start_deadline=deadline)
        world.drop_digits()
        world.rest()
        rounds(world, 3)
        assert ("no node" in str(world.receipt().reason)) is is_told


def test_time_in_the_queue_is_not_time_without_a_node() -> None:
    world = World.make(max_jobs=1)
    world.drop("scripts/a/train.py", b"1")
    world.drop("data/a/a.npz")
    world.rest()
    world.drop_digits()
    world.rest()
    rounds(world, 20)
    world.run_job(world.receipt("a").job)
    rounds(world, 2)
    assert "no node" not in str(world.receipt().reason)

"""Drops that wait for their turn, from the file to the model."""

import pytest

from function_app.container import assemble
from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.jobs.slots import RUNNING_BLOB, SlotTable
from function_app.ports.training_service import JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import SCRIPT, World

SIDE_BY_SIDE = b"kedja: {drop: {supersede: false}}\n"


def limited(**limits: int) -> World:
    return World.make(**{"max_jobs": 0, "max_jobs_per_experiment": 0, **limits})


def drop(world: World, content: str, folder: str = "digits") -> None:
    """Drop something that is a job of its own."""
    world.clock.advance(60)
    world.drop(f"scripts/{folder}/job.yaml", SIDE_BY_SIDE)
    world.drop(f"scripts/{folder}/train.py", SCRIPT)
    world.drop(f"data/{folder}/digits.npz", content.encode())
    world.rest()


def places(world: World) -> dict[str, str]:
    stored = world.blobs.stored.get((naming.RECEIPTS, RUNNING_BLOB))
    return dict(SlotTable.from_bytes(stored.data).jobs) if stored else {}


def marks(world: World) -> list[str]:
    return world.blobs.names_in(naming.RECEIPTS, ".queued/")


def statuses(world: World, folder: str = "digits") -> list[Status]:
    return [receipt.status for receipt in world.receipts(folder)]


def rounds(world: World, number: int = 2) -> None:
    for _ in range(number):
        world.clock.advance(310)
        world.reconcile()
        world.rest()


@pytest.fixture
def full() -> World:
    """Return a world with a job that has the only place, and two drops that wait for it."""
    world = limited(max_jobs_per_experiment=1)
    for content in ("one", "two", "three"):
        drop(world, content)
    assert statuses(world) == [Status.SUBMITTED, Status.QUEUED, Status.QUEUED]
    return world


def test_who_finds_no_place_is_told_why_and_what_to_do(full: World) -> None:
    receipt = full.receipts()[1]
    assert receipt.reason == "Active jobs of digits: 1 of at most 1 (KEDJA_MAX_JOBS_PER_EXPERIMENT)."
    assert "when another job ends" in str(receipt.what_to_do)
    assert [change.status for change in receipt.history] == [Status.SUBMITTING, Status.QUEUED]
    assert len(full.training.jobs) == 1
    assert full.publisher.types() == ["Kedja.JobSubmitted"]


@pytest.mark.parametrize("end", ["completed", "failed", "canceled there", "canceled here", "deleted"])
def test_every_end_lets_the_oldest_go_on(full: World, end: str) -> None:
    job = full.live_jobs()[0].name
    if end == "completed":
        full.run_job(job)
    elif end == "failed":
        full.run_job(job, exit_code=1)
    elif end == "canceled there":
        full.training.cancel(job)
    elif end == "canceled here":
        full.kedja.job_commands.cancel(job)
    else:
        del full.training.jobs[job]
        rounds(full, 4)
    full.rest()
    _, second, third = full.receipts()
    assert [one.name for one in full.live_jobs()] == [second.job]
    assert second.status in (Status.SUBMITTED, Status.STARTING)
    assert (third.status, places(full)) == (Status.QUEUED, {second.job: second.name})
    assert len(marks(full)) == 1


def test_all_come_to_be_registered_one_by_one(full: World) -> None:
    for _ in range(3):
        assert len(full.live_jobs()) == 1
        full.run_job()
    assert statuses(full) == [Status.REGISTERED] * 3
    assert (places(full), marks(full), full.opened(), full.failures) == ({}, [], [], [])
    assert full.publisher.types().count("Kedja.JobSubmitted") == 3
    order = sorted(full.receipts(), key=lambda receipt: receipt.history[-1].at)
    assert [receipt.sequence for receipt in order] == sorted(receipt.sequence for receipt in order)


def test_one_that_is_refused_gives_its_place_back() -> None:
    world = limited(max_jobs=1)
    world.training.refusal = "The quota is 0."
    drop(world, "one")
    world.training.refusal = None
    drop(world, "two")
    assert statuses(world) == [Status.REJECTED, Status.SUBMITTED]


def test_a_storm_of_one_experiment_does_not_starve_another() -> None:
    world = limited(max_jobs=2)
    for number in range(8):
        drop(world, f"storm {number}", "storm")
    drop(world, "quiet", "quiet")
    assert statuses(world, "quiet") == [Status.QUEUED]
    world.run_job(world.live_jobs()[0].name)
    world.run_job(world.live_jobs()[0].name)
    assert statuses(world, "quiet") in ([Status.SUBMITTED], [Status.STARTING])
    assert len(world.live_jobs()) == 2


def test_a_new_drop_does_not_overtake_those_that_wait() -> None:
    world = limited(max_jobs=1)
    drop(world, "a", "a")
    drop(world, "b", "b")
    job = world.live_jobs()[0].name
    world.training.finish(job)
    newcomer = host(world, blobs=lambda port: Meanwhile(port, "page", lambda: drop_alone(world), ".queued/"))

    newcomer.tracker.sync(job)
    world.rest()
    assert [job.experiment for job in world.live_jobs()] == ["b"]
    assert statuses(world, "c") == [Status.QUEUED]


def drop_alone(world: World) -> None:
    """Drop into another folder and have it settled while somebody holds the world still."""
    from function_app.domain.messages import SettleMessage  # noqa: PLC0415 - here alone

    world.drop("scripts/c/train.py", SCRIPT, times=0)
    world.drop("data/c/c.npz", b"c", times=0)
    world.clock.advance(60)
    request = SettleMessage(experiment="c", folder="c", trigger="t", since=world.clock())
    world.kedja.settler.settle(request, message="m")


class TestCanceled:
    def test_while_it_waits_it_is_over_at_once(self, full: World) -> None:
        _, second, third = full.receipts()
        assert second.job is not None
        assert full.kedja.job_commands.cancel(second.job).status is Status.CANCELED
        assert full.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobCanceled"]
        full.run_job()
        assert [job.name for job in full.live_jobs()] == [third.job]
        assert len(full.training.jobs) == 2
        assert full.opened() == [f".open/digits/{third.drop}"]

    def test_when_it_was_given_its_place_the_next_one_gets_it(self, full: World) -> None:
        _, second, third = full.receipts()
        full.training.finish(full.live_jobs()[0].name)
        (message,) = full.queues.messages
        full.deliver(message)
        (message,) = full.queues.of(naming.SETTLED_DROPS)
        canceled = full.kedja.receipts.change(
            second, lambda now: now.with_status(Status.CANCELED, full.clock(), "Somebody canceled it.")
        )
        assert canceled.job in places(full)
        full.rest()
        assert [job.name for job in full.live_jobs()] == [third.job]

    def test_and_tried_again_it_waits_as_a_new_attempt(self, full: World) -> None:
        _, second, _ = full.receipts()
        assert second.job is not None
        full.kedja.job_commands.cancel(second.job)
        assert full.kedja.job_commands.retry(second.job).status is Status.QUEUED
        for _ in range(3):
            full.run_job()
        assert statuses(full) == [Status.REGISTERED] * 3
        assert [len(receipt.attempts) for receipt in full.receipts()] == [1, 2, 1]


def test_a_newer_drop_takes_the_place_in_the_queue() -> None:
    world = limited(max_jobs=1)
    drop(world, "first", "first")
    world.drop_digits()
    world.rest()
    world.clock.advance(60)
    world.drop("data/digits/digits.npz", b"more digits")
    world.rest()
    assert statuses(world) == [Status.SUPERSEDED, Status.QUEUED]
    assert len(marks(world)) == 1
    world.run_job()
    world.run_job()
    assert statuses(world) == [Status.SUPERSEDED, Status.REGISTERED]
    assert world.opened() == []


class TestRepair:
    def test_of_a_lost_message(self, full: World) -> None:
        full.training.finish(full.live_jobs()[0].name)
        while full.queues.of(naming.RUN_EVENTS):
            full.deliver(full.queues.of(naming.RUN_EVENTS)[0])
        assert full.queues.of(naming.SETTLED_DROPS)
        full.queues.messages.clear()
        rounds(full, 1)
        assert [job.name for job in full.live_jobs()] == [full.receipts()[1].job]

    def test_of_a_place_whose_job_ended_unseen(self, full: World) -> None:
        full.kedja.submitter.job_queue.slots.adopt({"ghost": f"digits/{0:064}", "old": full.receipts()[0].name})
        rounds(full, 1)
        assert set(places(full)) == {full.receipts()[0].job}

    def test_of_a_mark_that_is_gone(self, full: World) -> None:
        for name in marks(full):
            full.blobs.delete(naming.RECEIPTS, name)
        full.run_job()
        rounds(full, 1)
        assert len(full.live_jobs()) == 1
        assert len(marks(full)) == 1

    def test_of_the_whole_blob(self, full: World) -> None:
        full.blobs.delete(naming.RECEIPTS, RUNNING_BLOB)
        rounds(full, 1)
        assert set(places(full)) == {full.receipts()[0].job}
        assert len(full.live_jobs()) == 1

    def test_of_limits_that_were_switched_off(self, full: World) -> None:
        full.kedja = assemble(
            limited().kedja.settings,
            blobs=full.blobs,
            queues=full.queues,
            training=full.training,
            publisher=full.publisher,
            account_url="https://kedja.blob.core.windows.net",
            clock=full.clock,
        )
        rounds(full, 1)
        assert len(full.live_jobs()) == 3

    def test_costs_an_undisturbed_round_one_write_at_most(self, full: World) -> None:
        full.reconcile()
        full.blobs.calls.clear()
        full.reconcile()
        written = [call for call in full.blobs.calls if call.operation == "replace" and call.name == RUNNING_BLOB]
        assert written == []


def calls(world: World) -> int:
    before = len(world.blobs.calls)
    world.drop_digits()
    world.rest()
    world.run_job()
    return len(world.blobs.calls) - before


def test_limits_that_are_off_cost_no_call_and_free_ones_two_a_begin_and_two_an_end() -> None:
    off, free = limited(), World.make()
    assert calls(free) - calls(off) <= 6  # an event that comes twice looks whether there is a place to give back
    assert not any("running" in call.name or "queued" in call.name for call in off.blobs.calls)
    reads = [call.operation for call in free.blobs.calls if call.name == RUNNING_BLOB]
    assert reads.count("create") + reads.count("replace") == 2
    assert not any(call.name.startswith(".queued/") for call in free.blobs.calls)


def test_never_more_than_the_limit_in_any_order() -> None:
    world = limited(max_jobs_per_experiment=2)
    world.shuffled = True
    most = 0
    for number in range(10):
        drop(world, f"content {number}")
        most = max(most, len(world.live_jobs()))
        if number % 3 == 2:
            world.run_job(world.live_jobs()[0].name, exit_code=number % 2)
    while world.live_jobs():
        most = max(most, len(world.live_jobs()))
        world.training.move(world.live_jobs()[0].name, JobStatus.RUNNING)
        world.run_job(world.live_jobs()[0].name)
    assert most == 2
    assert {receipt.status for receipt in world.receipts()} == {Status.REGISTERED, Status.FAILED}
    assert (places(world), marks(world), world.opened()) == ({}, [], [])


def test_a_receipt_that_cannot_be_read_does_not_keep_the_others_waiting(full: World) -> None:
    first, second, third = full.receipts()
    full.blobs.upload(naming.RECEIPTS, f"{second.name}.json", b"what is this?")
    full.training.finish(str(first.job))
    full.rest()

    assert full.failures == []
    assert full.kedja.receipts.load(third.ref).status is Status.SUBMITTED


def test_the_place_of_a_receipt_that_cannot_be_read_is_taken_back(full: World) -> None:
    first, second, _ = full.receipts()
    full.training.move(str(first.job), JobStatus.CANCELED)
    full.queues.messages.clear()
    full.blobs.upload(naming.RECEIPTS, f"{first.name}.json", b"what is this?")
    rounds(full)

    assert full.kedja.receipts.load(second.ref).job in full.training.jobs

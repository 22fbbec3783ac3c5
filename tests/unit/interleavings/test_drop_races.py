"""Two hosts at the same drop at once: one effect, whichever is faster."""

from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.jobs.missing_jobs import MISSES_UNSEEN
from function_app.ports.training_service import JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.interleavings.races import settle
from tests.unit.simulation import World

PLACES = [
    ("create", "digits/"),  # the receipt
    ("create", "job.json"),
    ("replace", "manifest.json"),
    ("replace", ".open/"),
    ("replace", ".by-time/"),
    ("create", "latest.json"),
    ("copy", "train.py"),
    ("read", "latest.json"),
    ("page", "digits/"),
]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("operation", "about"), PLACES, ids=[" ".join(place) for place in PLACES])
def test_two_hosts_settle_the_same_drop(dropped: World, operation: str, about: str, *, after: bool) -> None:
    slow = host(
        dropped,
        blobs=lambda port: Meanwhile(port, operation, lambda: settle(dropped.kedja, dropped), about, after),
    )
    settle(slow, dropped)
    dropped.rest()
    dropped.run_job()
    receipt = dropped.receipt()
    assert (receipt.status, len(receipt.attempts), receipt.repeats) == (Status.REGISTERED, 1, ())
    assert (len(dropped.training.jobs), len(dropped.training.versions)) == (1, 1)
    assert dropped.publisher.types() == ["Kedja.JobSubmitted", "Kedja.JobCompleted", "Kedja.ModelRegistered"]
    assert dropped.opened() == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_two_hosts_submit_the_same_drop(dropped: World, *, after: bool) -> None:
    slow = host(
        dropped,
        training=lambda port: Meanwhile(port, "submit", lambda: settle(dropped.kedja, dropped), after=after),
    )
    settle(slow, dropped)
    assert len(dropped.training.jobs) == 1
    assert dropped.publisher.types() == ["Kedja.JobSubmitted"]
    assert [change.status for change in dropped.receipt().history] == [Status.SUBMITTING, Status.SUBMITTED]


def test_two_hosts_see_the_same_drop_after_a_failure(dropped: World) -> None:
    settle(dropped.kedja, dropped)
    dropped.run_job(exit_code=1)
    dropped.clock.advance(60)
    dropped.drop("data/digits/digits.npz", b"digits", times=0)
    dropped.clock.advance(60)
    slow = host(
        dropped,
        blobs=lambda port: Meanwhile(port, "replace", lambda: settle(dropped.kedja, dropped), "digits/"),
    )
    settle(slow, dropped)
    assert [attempt.number for attempt in dropped.receipt().attempts] == [1, 2]
    assert len(dropped.training.jobs) == 2


def test_one_host_sees_the_failure_of_the_attempt_that_another_claimed(dropped: World) -> None:
    """The slow host decided to claim the second attempt; meanwhile that was claimed, and has failed as well."""
    settle(dropped.kedja, dropped)
    dropped.run_job(exit_code=1)
    dropped.clock.advance(60)
    dropped.drop("data/digits/digits.npz", b"digits", times=0)
    dropped.clock.advance(60)

    def faster() -> None:
        settle(dropped.kedja, dropped)
        dropped.run_job(exit_code=1)

    settle(host(dropped, blobs=lambda port: Meanwhile(port, "copy", faster, "train.py")), dropped)
    settle(host(dropped, blobs=lambda port: Meanwhile(port, "read", faster, "latest.json")), dropped)
    assert [attempt.number for attempt in dropped.receipt().attempts] == [1, 2]


class TestOlderAndNewer:
    def test_an_older_job_that_ends_last_changes_nothing_for_consumers(self, world: World) -> None:
        world.drop_digits()
        world.rest()
        older = world.live_jobs()[0].name
        world.training.move(older, JobStatus.RUNNING)
        world.clock.advance(60)
        world.drop("data/digits/digits.npz", b"better digits")
        world.rest()
        newer = world.run_job(metrics={"accuracy": 0.9})
        world.run_job(older, metrics={"accuracy": 0.99})
        first, second = world.receipts()
        champion, latest = world.kedja.champions.find("digits"), world.kedja.receipts.latest("digits")
        assert champion is not None
        assert latest is not None
        assert (champion.receipt, latest.drop) == (second.name, second.drop)
        assert (second.job, first.status, second.status) == (newer, Status.REGISTERED, Status.REGISTERED)
        assert first.model is not None
        assert second.model is not None
        assert (first.model.champion, second.model.champion) == (False, True)

    @pytest.mark.parametrize("place", [("replace", ".open/"), ("create", "latest.json"), ("page", ".open/")])
    def test_the_newer_drop_settles_first(self, dropped: World, place: tuple[str, str]) -> None:
        """The older one was listed, and its host continued only after the newer one was submitted."""

        def newer() -> None:
            dropped.drop("data/digits/digits.npz", b"better digits", times=0)
            dropped.clock.advance(60)
            settle(dropped.kedja, dropped)

        settle(host(dropped, blobs=lambda port: Meanwhile(port, place[0], newer, place[1])), dropped)
        dropped.rest()
        dropped.clock.advance(600)
        for _ in range(MISSES_UNSEEN):
            dropped.reconcile()
        dropped.rest()
        first, second = sorted(dropped.receipts(), key=lambda receipt: receipt.sequence)
        latest = dropped.kedja.receipts.latest("digits")
        assert latest is not None
        assert (latest.drop, first.status, first.superseded_by) == (second.drop, Status.SUPERSEDED, second.drop)
        assert second.status in (Status.SUBMITTED, Status.STARTING)
        assert [job.name for job in dropped.live_jobs()] == [second.job]
        assert dropped.opened() == [f".open/digits/{second.drop}"]

    def test_the_newer_drop_settles_before_the_older_one_has_a_receipt(self, dropped: World) -> None:
        def newer() -> None:
            dropped.drop("data/digits/digits.npz", b"better digits", times=0)
            dropped.clock.advance(60)
            settle(dropped.kedja, dropped)

        settle(host(dropped, blobs=lambda port: Meanwhile(port, "read", newer, "latest.json")), dropped)
        assert dropped.receipt().status is Status.SUBMITTED
        assert len(dropped.training.jobs) == 1

    def test_the_older_ones_submission_comes_after_it_was_superseded_and_given_up(self, dropped: World) -> None:
        def newer() -> None:
            dropped.drop("data/digits/digits.npz", b"better digits", times=0)
            dropped.clock.advance(60)
            settle(dropped.kedja, dropped)
            dropped.clock.advance(600)
            dropped.reconcile()

        settle(host(dropped, training=lambda port: Meanwhile(port, "submit", newer)), dropped)
        dropped.rest()
        first, second = sorted(dropped.receipts(), key=lambda receipt: receipt.sequence)
        assert first.status is Status.SUPERSEDED
        assert [job.name for job in dropped.live_jobs()] == [second.job]


def test_an_index_that_is_written_late_says_what_the_receipt_says(dropped: World) -> None:
    settle(dropped.kedja, dropped)
    job = dropped.live_jobs()[0].name
    dropped.training.move(job, JobStatus.RUNNING)
    dropped.queues.messages.clear()

    def faster() -> None:
        dropped.run_job(job)

    host(dropped, blobs=lambda port: Meanwhile(port, "replace", faster, ".by-time/")).tracker.sync(job)
    (name,) = dropped.blobs.names_in(naming.RECEIPTS, ".by-time/")
    assert dropped.blobs.stored[naming.RECEIPTS, name].item.metadata["status"] == "registered"


@pytest.mark.parametrize(("operation", "about"), [("delete", ".settling/"), ("page", "digits/"), ("get", ".paused")])
def test_files_that_come_while_a_folder_is_looked_at_are_looked_at_again(
    dropped: World, operation: str, about: str
) -> None:
    def more() -> None:
        dropped.drop("data/digits/more.npz", b"more")
        dropped.deliver(dropped.queues.of(naming.BLOB_EVENTS)[0])

    dropped.announce("data/digits/digits.npz")
    dropped.deliver(dropped.queues.of(naming.BLOB_EVENTS)[0])
    slow = host(dropped, blobs=lambda port: Meanwhile(port, operation, more, about, after=True))
    (message,) = dropped.queues.messages
    slow.on_settled(message.body, message=message.id)
    dropped.queues.messages.remove(message)
    dropped.rest()
    newest = max(dropped.receipts(), key=lambda receipt: receipt.sequence)
    assert (newest.received.data, newest.status in (Status.SUBMITTED, Status.STARTING)) == (2, True)


def test_a_script_that_is_written_while_its_snapshot_is_made_is_in_no_job(dropped: World) -> None:
    def overwrite() -> None:
        dropped.drop("scripts/digits/train.py", b"print(2)\n", times=0)

    settle(host(dropped, blobs=lambda port: Meanwhile(port, "copy", overwrite)), dropped)
    assert dropped.training.jobs == {}
    dropped.rest()
    receipt = dropped.receipt()
    assert dropped.blobs.read(naming.SNAPSHOTS, f"digits/{receipt.drop}/scripts/train.py").data == b"print(2)\n"
    assert receipt.received_at - dropped.receipt().newest_upload < timedelta(minutes=1)

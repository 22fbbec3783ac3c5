"""Two hosts, or a person, at the same thing at once: one effect each, whoever is faster."""

from datetime import timedelta

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.drops.intake import SettleRequest
from function_app.errors import Refused
from function_app.jobs.missing_jobs import MISSES_UNSEEN
from function_app.operations.service import Kedja
from function_app.ports.training_service import JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.simulation import World


def settle(kedja: Kedja, world: World) -> None:
    request = SettleRequest(experiment="digits", folder="digits", trigger="t", since=world.clock())
    kedja.settler.settle(request, message="m")


@pytest.fixture
def dropped(world: World) -> World:
    """Return a world with a drop that nobody has been told of."""
    world.drop("scripts/digits/train.py", b"print(1)\n", times=0)
    world.drop("data/digits/digits.npz", b"digits", times=0)
    world.clock.advance(60)
    return world


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


class TestCanceled:
    def test_before_the_job_is_made(self, dropped: World) -> None:
        """The one who cancels finds no job yet; the submission finds it when it is done."""
        slow = host(
            dropped,
            training=lambda port: Meanwhile(port, "submit", lambda: cancel(dropped)),
        )
        settle(slow, dropped)
        dropped.rest()
        assert dropped.receipt().status is Status.CANCELED
        assert [job.status for job in dropped.training.jobs.values()] == [JobStatus.CANCELED]
        assert dropped.publisher.types() == ["Kedja.JobCanceled"]
        assert dropped.opened() == []

    def test_between_the_jobs_making_and_the_receipt(self, dropped: World) -> None:
        slow = host(
            dropped,
            training=lambda port: Meanwhile(port, "submit", lambda: cancel(dropped), after=True),
        )
        settle(slow, dropped)
        dropped.rest()
        assert dropped.receipt().status is Status.CANCELED
        assert dropped.live_jobs() == []

    def test_and_the_submitting_host_killed_before_it_made_the_job(self, dropped: World) -> None:
        def cancel_and_die() -> None:
            cancel(dropped)
            raise KeyboardInterrupt

        slow = host(dropped, training=lambda port: Meanwhile(port, "submit", cancel_and_die))
        with pytest.raises(KeyboardInterrupt):
            settle(slow, dropped)
        settle(dropped.kedja, dropped)
        assert (dropped.receipt().status, dropped.training.jobs) == (Status.CANCELING, {})
        dropped.clock.advance(600)
        dropped.reconcile()
        assert dropped.receipt().status is Status.CANCELING  # one miss is no verdict
        dropped.reconcile()
        assert (dropped.receipt().status, dropped.training.jobs, dropped.opened()) == (Status.CANCELED, {}, [])

    def test_while_its_model_is_being_registered(self, dropped: World) -> None:
        settle(dropped.kedja, dropped)
        dropped.training.finish(dropped.live_jobs()[0].name)
        refusals: list[str] = []

        def cancel_too_late() -> None:
            with pytest.raises(Refused) as refused:
                cancel(dropped)
            refusals.append(str(refused.value))

        dropped.kedja = host(dropped, training=lambda port: Meanwhile(port, "register_model", cancel_too_late))
        dropped.rest()
        assert dropped.receipt().status is Status.REGISTERED
        assert len(refusals) == 1


def cancel(world: World) -> None:
    job = world.receipt().job
    assert job is not None
    world.kedja.jobs.cancel(job)


class TestRegistered:
    @pytest.mark.parametrize("operation", ["find_model", "register_model"])
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_by_two_hosts_at_once(self, dropped: World, operation: str, *, after: bool) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.finish(job)
        dropped.queues.messages.clear()
        slow = host(
            dropped,
            training=lambda port: Meanwhile(port, operation, lambda: dropped.kedja.watcher.look(job), after=after),
        )
        slow.watcher.look(job)
        dropped.rest()
        assert dropped.receipt().status is Status.REGISTERED
        assert len(dropped.training.versions) == 1

    def test_by_two_hosts_of_which_one_lost_its_lease_between_look_up_and_creation(self, dropped: World) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.finish(job)
        dropped.queues.messages.clear()

        def other_host() -> None:
            dropped.clock.advance(120)
            dropped.kedja.watcher.look(job)

        slow = host(dropped, training=lambda port: Meanwhile(port, "register_model", other_host))
        slow.watcher.look(job)
        dropped.rest()
        receipt = dropped.receipt()
        assert receipt.model is not None
        assert (receipt.status, receipt.model.version) == (Status.REGISTERED, "1")
        assert [(one.version, one.archived) for one in dropped.training.versions] == [("1", False), ("2", True)]
        assert dropped.publisher.types().count("Kedja.ModelRegistered") == 1

    def test_while_the_same_content_is_dropped_again(self, dropped: World) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.finish(job)

        def drop_again() -> None:
            dropped.drop("data/digits/digits.npz", b"digits", times=0)
            dropped.clock.advance(20)
            settle(dropped.kedja, dropped)

        dropped.kedja = host(dropped, training=lambda port: Meanwhile(port, "register_model", drop_again))
        dropped.rest()
        receipt = dropped.receipt()
        assert (receipt.status, len(receipt.attempts), len(receipt.repeats)) == (Status.REGISTERED, 1, 1)
        assert dropped.failures == []


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
        """The older one was listed, and its host went on only after the newer one was submitted."""

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


class TestClosed:
    @pytest.mark.parametrize("place", [("get", ".open/"), ("read", "digits/"), ("delete", ".open/")])
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_while_a_retry_opens_it_again(self, dropped: World, place: tuple[str, str], *, after: bool) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.finish(job, exit_code=1)
        dropped.rest()
        receipt = dropped.receipt()
        dropped.kedja.receipts.open("digits", receipt.drop)
        slow = host(
            dropped,
            blobs=lambda port: Meanwhile(port, place[0], lambda: dropped.kedja.jobs.retry(job), place[1], after),
        )
        slow.receipts.flush(receipt)
        assert dropped.receipt().status is Status.SUBMITTED
        assert dropped.opened() == [f".open/digits/{receipt.drop}"]


def test_an_index_that_is_written_late_says_what_the_receipt_says(dropped: World) -> None:
    settle(dropped.kedja, dropped)
    job = dropped.live_jobs()[0].name
    dropped.training.move(job, JobStatus.RUNNING)
    dropped.queues.messages.clear()

    def faster() -> None:
        dropped.run_job(job)

    host(dropped, blobs=lambda port: Meanwhile(port, "replace", faster, ".by-time/")).watcher.look(job)
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


def dropped_beside(world: World, content: bytes) -> None:
    """Drop something that is a job of its own, of which nobody has been told."""
    world.drop("scripts/digits/job.yaml", b"kedja: {drop: {supersede: false}}\n", times=0)
    world.drop("scripts/digits/train.py", b"print(1)\n", times=0)
    world.drop("data/digits/digits.npz", content, times=0)
    world.clock.advance(60)


class TestPlaces:
    @pytest.fixture
    def narrow(self) -> World:
        """Return a world with a place for one job, and a drop that nobody has been told of."""
        world = World.make(max_jobs=1)
        world.blobs.upload(naming.RECEIPTS, ".running.json", b"{}")
        dropped_beside(world, b"one")
        return world

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("operation", "about"), [("read", ".running"), ("replace", ".running"), ("replace", ".open/")]
    )
    def test_two_hosts_and_two_drops_want_the_only_one(
        self, narrow: World, operation: str, about: str, *, after: bool
    ) -> None:
        def other() -> None:
            dropped_beside(narrow, b"two")
            settle(narrow.kedja, narrow)

        settle(host(narrow, blobs=lambda port: Meanwhile(port, operation, other, about, after)), narrow)
        assert len(narrow.live_jobs()) == 1
        assert sorted(receipt.status for receipt in narrow.receipts()) == [Status.QUEUED, Status.SUBMITTED]
        narrow.run_job()
        narrow.run_job()
        assert [receipt.status for receipt in narrow.receipts()] == [Status.REGISTERED] * 2
        assert narrow.opened() == []

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("operation", "about"),
        [("read", ".running"), ("replace", ".queued/"), ("replace", "queued"), ("replace", ".running")],
    )
    def test_the_only_one_comes_free_while_a_drop_queues_up(
        self, narrow: World, operation: str, about: str, *, after: bool
    ) -> None:
        settle(narrow.kedja, narrow)
        job = narrow.live_jobs()[0].name
        dropped_beside(narrow, b"two")

        def end() -> None:
            narrow.training.finish(job)
            narrow.kedja.watcher.look(job)

        settle(host(narrow, blobs=lambda port: Meanwhile(port, operation, end, about, after)), narrow)
        narrow.rest()
        second = narrow.receipts()[1]
        assert [one.name for one in narrow.live_jobs()] == [second.job]
        narrow.run_job()
        assert [receipt.status for receipt in narrow.receipts()] == [Status.REGISTERED] * 2
        assert narrow.blobs.names_in(naming.RECEIPTS, ".queued/") == []

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("operation", "about"), [("read", ".running"), ("replace", ".running"), ("page", ".queued")]
    )
    def test_two_hosts_give_the_same_one_away(self, narrow: World, operation: str, about: str, *, after: bool) -> None:
        settle(narrow.kedja, narrow)
        job = narrow.live_jobs()[0].name
        for content in (b"two", b"three"):
            dropped_beside(narrow, content)
            settle(narrow.kedja, narrow)
        narrow.training.finish(job)
        slow = host(
            narrow, blobs=lambda port: Meanwhile(port, operation, lambda: narrow.kedja.watcher.look(job), about, after)
        )
        slow.watcher.look(job)
        narrow.rest()
        assert len(narrow.live_jobs()) == 1
        assert [receipt.status for receipt in narrow.receipts()][2] is Status.QUEUED

    def test_a_drop_is_canceled_while_it_is_its_turn(self, narrow: World) -> None:
        settle(narrow.kedja, narrow)
        job = narrow.live_jobs()[0].name
        dropped_beside(narrow, b"two")
        settle(narrow.kedja, narrow)
        waiting = str(narrow.receipts()[1].job)
        narrow.training.finish(job)
        narrow.kedja.watcher.look(job)
        narrow.kedja = host(
            narrow, training=lambda port: Meanwhile(port, "submit", lambda: narrow.kedja.jobs.cancel(waiting))
        )
        narrow.rest()
        narrow.clock.advance(600)
        narrow.reconcile()
        narrow.rest()
        assert narrow.receipts()[1].status is Status.CANCELED
        assert (narrow.live_jobs(), narrow.kedja.submitter.turns.admission.running()) == ([], {})


class TestPreempted:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("operation", "about"), [("read", "digits/"), ("replace", "digits/"), ("read", ".running")]
    )
    def test_two_hosts_see_it(self, dropped: World, operation: str, about: str, *, after: bool) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.move(job, JobStatus.RUNNING)
        dropped.rest()
        dropped.training.move(job, JobStatus.FAILED)
        slow = host(
            dropped,
            blobs=lambda port: Meanwhile(port, operation, lambda: dropped.kedja.watcher.look(job), about, after),
        )
        slow.watcher.look(job)
        dropped.rest()
        assert [attempt.number for attempt in dropped.receipt().attempts] == [1, 2]
        assert len(dropped.training.jobs) == 2
        assert dropped.receipt().preemptions == 1

    def test_while_somebody_cancels_it_it_does_not_go_on(self, dropped: World) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.move(job, JobStatus.RUNNING)
        dropped.rest()
        dropped.training.move(job, JobStatus.FAILED)
        slow = host(dropped, training=lambda port: Meanwhile(port, "logs", lambda: cancel(dropped)))
        slow.watcher.look(job)
        dropped.rest()
        receipt = dropped.receipt()
        assert (receipt.status, len(receipt.attempts), dropped.live_jobs()) == (Status.CANCELED, 1, [])
        assert dropped.opened() == []

    def test_a_newer_drop_takes_the_place_of_the_attempt_that_is_to_go_on(self, dropped: World) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.move(job, JobStatus.RUNNING)
        dropped.rest()
        dropped.training.move(job, JobStatus.FAILED)

        def newer() -> None:
            dropped.drop("data/digits/digits.npz", b"better digits", times=0)
            dropped.clock.advance(60)
            settle(dropped.kedja, dropped)

        host(dropped, training=lambda port: Meanwhile(port, "submit", newer)).watcher.look(job)
        dropped.rest()
        dropped.clock.advance(600)
        dropped.reconcile()
        dropped.rest()
        first, second = dropped.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert [one.name for one in dropped.live_jobs()] == [second.job]

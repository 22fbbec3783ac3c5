"""Two hosts, or a host and a person, at the same job at once."""

import pytest

from function_app.domain.receipt import Status
from function_app.errors import Refused
from function_app.ports.training_service import JobStatus
from tests.unit.interleaving import Meanwhile, host
from tests.unit.interleavings.races import cancel, settle
from tests.unit.simulation import World


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
            training=lambda port: Meanwhile(port, operation, lambda: dropped.kedja.tracker.sync(job), after=after),
        )
        slow.tracker.sync(job)
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
            dropped.kedja.tracker.sync(job)

        slow = host(dropped, training=lambda port: Meanwhile(port, "register_model", other_host))
        slow.tracker.sync(job)
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


class TestClosed:
    @pytest.mark.parametrize("place", [("get", ".open/"), ("read", "digits/"), ("delete", ".open/")])
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_while_a_retry_opens_it_again(self, dropped: World, place: tuple[str, str], *, after: bool) -> None:
        settle(dropped.kedja, dropped)
        job = dropped.live_jobs()[0].name
        dropped.training.finish(job, exit_code=1)
        dropped.rest()
        receipt = dropped.receipt()
        dropped.kedja.receipts.set_open_mark(receipt.ref)
        slow = host(
            dropped,
            blobs=lambda port: Meanwhile(
                port, place[0], lambda: dropped.kedja.job_commands.retry(job), place[1], after
            ),
        )
        slow.receipts.publish_outbox(receipt)
        assert dropped.receipt().status is Status.SUBMITTED
        assert dropped.opened() == [f".open/digits/{receipt.drop}"]


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
            blobs=lambda port: Meanwhile(port, operation, lambda: dropped.kedja.tracker.sync(job), about, after),
        )
        slow.tracker.sync(job)
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
        slow.tracker.sync(job)
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

        host(dropped, training=lambda port: Meanwhile(port, "submit", newer)).tracker.sync(job)
        dropped.rest()
        dropped.clock.advance(600)
        dropped.reconcile()
        dropped.rest()
        first, second = dropped.receipts()
        assert (first.status, first.superseded_by) == (Status.SUPERSEDED, second.drop)
        assert [one.name for one in dropped.live_jobs()] == [second.job]

"""Two hosts that give away the same slot at once."""

import pytest

from function_app.domain import naming
from function_app.domain.receipt import Status
from tests.unit.interleaving import Meanwhile, host
from tests.unit.interleavings.races import settle
from tests.unit.simulation import World


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
            narrow.kedja.tracker.sync(job)

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
            narrow, blobs=lambda port: Meanwhile(port, operation, lambda: narrow.kedja.tracker.sync(job), about, after)
        )
        slow.tracker.sync(job)
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
        narrow.kedja.tracker.sync(job)
        narrow.kedja = host(
            narrow, training=lambda port: Meanwhile(port, "submit", lambda: narrow.kedja.job_commands.cancel(waiting))
        )
        narrow.rest()
        narrow.clock.advance(600)
        narrow.reconcile()
        narrow.rest()
        assert narrow.receipts()[1].status is Status.CANCELED
        assert (narrow.live_jobs(), narrow.kedja.submitter.job_queue.slots.running()) == ([], {})

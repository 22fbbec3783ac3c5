"""Places for jobs, alone: `test_turns.py` has them among drops, jobs and hosts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt, Status
from function_app.jobs.slots import RUNNING_BLOB, Limits, QueueEntry, SlotPool, SlotTable
from function_app.ports.storage import Blobs
from tests.unit.interleaving import Meanwhile
from tests.unit.memory import MemoryBlobs
from tests.unit.sample_receipt import make


def name(experiment: str, number: int) -> str:
    """Return the name of a receipt."""
    return str(DropRef(experiment, f"{number:064}"))


def queued(experiment: str, order: int) -> QueueEntry:
    return QueueEntry(order=order, ref=DropRef(experiment, f"{order:064}"))


def receipt(experiment: str, number: int) -> Receipt:
    made = make(Status.SUBMITTING, attempts=1).replace(experiment=experiment, drop=f"{number:064}")
    return made.with_attempt(job=f"{experiment}-{number}-1", sequence=number)


def slot_pool(blobs: object, *, per_experiment: int = 0, in_all: int = 0) -> SlotPool:
    limits = Limits(per_experiment=per_experiment, in_all=in_all)
    return SlotPool(blobs=cast("Blobs", blobs), limits=limits, sleep=lambda _: None)


class TestLimits:
    def test_the_oldest_of_the_experiment_with_the_fewest_jobs_is_next(self) -> None:
        limits = Limits(per_experiment=0, in_all=4)
        line = [queued("storm", 1), queued("storm", 2), queued("quiet", 9), queued("storm", 3)]
        assert limits.chosen([name("storm", 0)], line) == [queued("quiet", 9), queued("storm", 1), queued("storm", 2)]

    def test_an_experiment_that_is_full_is_passed_over(self) -> None:
        limits = Limits(per_experiment=1, in_all=0)
        line = [queued("a", 1), queued("a", 2), queued("b", 3), queued("c", 4)]
        assert limits.chosen([name("a", 0)], line) == [queued("b", 3), queued("c", 4)]

    def test_a_refusal_names_the_limit(self) -> None:
        limits = Limits(per_experiment=1, in_all=2)
        assert limits.refusal("b", [name("a", 0)]) is None
        assert (
            limits.refusal("a", [name("a", 0)]) == "Active jobs of a: 1 of at most 1 (KEDJA_MAX_JOBS_PER_EXPERIMENT)."
        )
        assert limits.refusal("c", [name("a", 0), name("b", 0)]) == "Active jobs: 2 of at most 2 (KEDJA_MAX_JOBS)."

    @given(
        st.integers(0, 4),
        st.integers(0, 9),
        st.lists(st.sampled_from("abc")),
        st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), unique=True),
    )
    def test_no_choice_is_more_than_may_be_and_none_is_less(
        self, per_experiment: int, in_all: int, running: list[str], waiting: list[tuple[str, int]]
    ) -> None:
        limits = Limits(per_experiment=per_experiment, in_all=in_all)
        before = [name(experiment, number) for number, experiment in enumerate(running)]
        line = [queued(experiment, order) for experiment, order in waiting]
        chosen = limits.chosen(before, line)
        for count, one in enumerate(chosen):
            taken = [*before, *(str(other.ref) for other in chosen[:count])]
            assert limits.refusal(one.ref.experiment, taken) is None
            assert one == min(
                other for other in line if other.ref.experiment == one.ref.experiment and other not in chosen[:count]
            )
        after = [*before, *(str(one.ref) for one in chosen)]
        assert all(limits.refusal(one.ref.experiment, after) for one in line if one not in chosen)


class TestPlaces:
    def test_cost_one_read_and_one_write_to_begin_and_to_end(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, per_experiment=2)
        places.acquire(receipt("a", 1))
        blobs.calls.clear()
        assert places.acquire(receipt("a", 2)) is None
        assert [call.operation for call in blobs.calls] == ["read", "replace"]
        blobs.calls.clear()
        assert places.release(["a-2-1"]) is False
        assert [call.operation for call in blobs.calls] == ["read", "replace"]

    def test_cost_nothing_without_limits(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs)
        assert places.acquire(receipt("a", 1)) is None
        assert places.holds(receipt("a", 1))
        assert not places.release(["a-1-1"])
        assert blobs.calls == []

    def test_are_taken_once_by_the_same_job(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, in_all=1)
        assert places.acquire(receipt("a", 1)) is None
        assert places.acquire(receipt("a", 1)) is None
        refusal = places.acquire(receipt("a", 2))
        assert refusal is not None
        assert "KEDJA_MAX_JOBS" in refusal.reason

    def test_are_not_overtaken(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, in_all=1)
        places.acquire(receipt("a", 1))
        places.enqueue(receipt("a", 2))
        assert not places.flag_queue(receipt("a", 2))
        assert places.release(["a-1-1"])
        refusal = places.acquire(receipt("a", 3))
        assert refusal is not None
        assert refusal.may_be_free
        assert places.grant_free(lambda one: f"job {one.order}") == [QueueEntry.of(receipt("a", 2))]

    def test_of_a_blob_that_is_none_are_given_anew(self, blobs: MemoryBlobs) -> None:
        blobs.upload(naming.RECEIPTS, RUNNING_BLOB, b"what is this?")
        places = slot_pool(blobs, in_all=1)
        places.enqueue(receipt("a", 1))
        assert places.grant_free(lambda _: "a-1-1") == [QueueEntry.of(receipt("a", 1))]
        assert places.running() == {"a-1-1": name("a", 1)}

    @pytest.mark.parametrize("limit", [1, 7, 50])
    def test_are_never_more_than_may_be_for_a_crowd(self, blobs: MemoryBlobs, limit: int) -> None:
        """Two hundred at once, over storage that lets each of them lose its races."""
        places = slot_pool(blobs, in_all=limit)
        begin = threading.Barrier(16)

        def one(number: int) -> bool:
            if number < 16:
                begin.wait(10)
            return places.acquire(receipt("a", number)) is None

        with ThreadPoolExecutor(16) as pool:
            admitted = sum(pool.map(one, range(200)))
        assert admitted == len(places.running()) <= limit

    def test_that_many_want_at_this_moment_are_asked_for_later(self, blobs: MemoryBlobs) -> None:
        places, number = slot_pool(blobs, in_all=100), 0

        def other() -> None:
            nonlocal number
            number += 1
            places.acquire(receipt("b", number))

        class Busy:
            """Somebody else is faster each time."""

            def __getattr__(self, name: str) -> object:
                return getattr(Meanwhile(blobs, "replace", other), name)

        other()
        refusal = slot_pool(Busy(), in_all=100).acquire(receipt("a", 1))
        assert refusal is not None
        assert refusal.may_be_free

    def test_of_jobs_that_began_without_limits_count(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, in_all=1)
        places.adopt({"a-1-1": name("a", 1), "a-2-1": name("a", 2)})
        assert places.acquire(receipt("a", 3)) is not None
        places.adopt({"a-1-1": name("a", 1)})
        assert len(places.running()) == 2


class TestQueue:
    def test_is_read_oldest_first(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, in_all=1)
        for experiment, number in (("b", 30), ("a", 4), ("a", 200)):
            places.enqueue(receipt(experiment, number))
        assert [one.order for one in places.queued()] == [4, 30, 200]

    def test_of_those_who_went_away_gives_their_turn_to_the_next(self, blobs: MemoryBlobs) -> None:
        places = slot_pool(blobs, in_all=2)
        for number in range(5):
            places.enqueue(receipt("a", number))
        given = places.grant_free(lambda one: f"job {one.order}" if one.order > 2 else None)
        assert [one.order for one in given] == [3, 4]

    def test_that_a_mark_joins_while_it_is_emptied_is_not_forgotten(self, blobs: MemoryBlobs) -> None:
        """The last of the queue gets its place while another joins, who has seen that there is a queue."""
        places = slot_pool(blobs, in_all=2)
        places.enqueue(receipt("a", 1))
        places.flag_queue(receipt("a", 1))
        seen: list[bool] = []

        def join() -> None:
            places.adopt({"x": name("b", 1), "y": name("b", 2)})
            places.enqueue(receipt("a", 2))
            seen.append(places.flag_queue(receipt("a", 2)))

        slow = slot_pool(Meanwhile(blobs, "page", join, ".queued/", after=True), in_all=2)
        slow.grant_free(lambda one: f"job {one.order}")
        assert seen == [False]
        running = SlotTable.from_bytes(blobs.read(naming.RECEIPTS, RUNNING_BLOB).data)
        assert running.has_queue
        assert places.release(["x"])

"""Slots: how many jobs run at once, per experiment and in total, and which waiting drop is next.

`receipts/.running.json` holds the jobs that have a slot. It is written only if it is unchanged since it was read, so
two hosts never grant the same slot. A drop without a slot gets a queue entry, `.queued/<order>/<experiment>/<drop>`,
and then checks again; a job that releases its slot checks for entries afterwards: one of the two sees the other.
`has_queue` in the blob says that there are entries: so a job costs one read and one write at its start and at its end
while the queue is empty, and no drop overtakes those that wait.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.ports.storage import MAX_LIST_PAGE, Blobs, iter_items
from function_app.timing import CONTENTION

logger = logging.getLogger(__name__)

RUNNING_BLOB = ".running.json"
QUEUED = ".queued/"
TRIES = 8
"""Tries of a write that others got ahead of: each lost race means that another job got or released its slot."""


class SlotTable(Document):
    """`.running.json`. `jobs` are those that have a slot, each with the name of its receipt."""

    version: int = 1
    has_queue: bool = False
    jobs: Mapping[str, str] = {}

    def with_(self, jobs: Mapping[str, str], *, has_queue: bool) -> "SlotTable":
        """Return a table with these jobs."""
        return SlotTable(jobs=dict(jobs), has_queue=has_queue)


@frozen(kw_only=True, order=True)
class QueueEntry:
    """A drop that waits for a slot. `order` is its attempt's sequence: the lowest is the oldest."""

    order: int
    ref: DropRef

    @classmethod
    def of(cls, receipt: Receipt) -> "QueueEntry":
        """Return the entry of a receipt's last attempt."""
        attempt = receipt.attempt
        order = attempt.sequence if attempt else receipt.sequence
        return cls(order=order, ref=receipt.ref)

    @property
    def blob(self) -> str:
        """The name of the entry's blob."""
        return f"{QUEUED}{self.order:011d}/{self.ref}"


@frozen(kw_only=True)
class Limits:
    """How many jobs may run at once; 0 is no limit."""

    per_experiment: int
    in_all: int

    @property
    def unlimited(self) -> bool:
        """Whether there is no limit at all."""
        return not (self.per_experiment or self.in_all)

    def refusal(self, experiment: str, receipts: Collection[str]) -> str | None:
        """Return why the experiment gets no slot beside the jobs of these receipts, or None if it gets one."""
        if self.in_all and len(receipts) >= self.in_all:
            return f"Active jobs: {len(receipts)} of at most {self.in_all} (KEDJA_MAX_JOBS)."
        count = _experiments(receipts)[experiment]
        if self.per_experiment and count >= self.per_experiment:
            limit = f"{count} of at most {self.per_experiment}"
            return f"Active jobs of {experiment}: {limit} (KEDJA_MAX_JOBS_PER_EXPERIMENT)."
        return None

    def chosen(self, receipts: Iterable[str], queued: Iterable[QueueEntry]) -> list[QueueEntry]:
        """Return the entries that get a slot: the experiment with the fewest jobs first, and its oldest drop first."""
        taken = list(receipts)
        counts = _experiments(taken)
        lines: dict[str, deque[QueueEntry]] = {}
        for one in sorted(queued):
            lines.setdefault(one.ref.experiment, deque()).append(one)
        found: list[QueueEntry] = []
        while lines:
            head = min((line[0] for line in lines.values()), key=lambda one: (counts[one.ref.experiment], one))
            line = lines[head.ref.experiment]
            if self.refusal(head.ref.experiment, taken):
                line.clear()
            else:
                found.append(line.popleft())
                taken.append(str(head.ref))
                counts[head.ref.experiment] += 1
            if not line:
                del lines[head.ref.experiment]
        return found


def _experiments(receipts: Iterable[str]) -> Counter[str]:
    """Return how many of the receipts, given by name, each experiment has."""
    return Counter(ref.experiment for ref in map(DropRef.parse, receipts) if ref)


@frozen(kw_only=True)
class NoSlot:
    """There is no slot now. `may_be_free`: there may be one for the first in the queue."""

    reason: str
    may_be_free: bool = False


@frozen(kw_only=True)
class SlotPool:
    """Grants slots to jobs and releases them. Every step may be repeated."""

    blobs: Blobs
    limits: Limits
    sleep: Callable[[float], None] = time.sleep

    def acquire(self, receipt: Receipt) -> NoSlot | None:
        """Take a slot for the receipt's last attempt, unless it has one already; return why there is none."""
        if self.limits.unlimited or receipt.job is None:
            return None
        refusal: NoSlot | None = None

        def edit(running: SlotTable) -> SlotTable:
            nonlocal refusal
            refusal = None
            if receipt.job in running.jobs:
                return running
            reason = self.limits.refusal(receipt.experiment, running.jobs.values())
            if reason is None and running.has_queue:
                reason = "Other drops are ahead of it in the queue."
                refusal = NoSlot(reason=reason, may_be_free=True)
                return running
            if reason is not None:
                refusal = NoSlot(reason=reason)
                return running
            return running.with_({**running.jobs, str(receipt.job): receipt.name}, has_queue=False)

        if self._change(edit, receipt.name) is None:
            return NoSlot(reason="Many jobs are starting at this moment.", may_be_free=True)
        return refusal

    def holds(self, receipt: Receipt) -> bool:
        """Return whether the receipt's last attempt has a slot, or needs none."""
        return self.limits.unlimited or receipt.job in self._read()[0].jobs

    def enqueue(self, receipt: Receipt) -> None:
        """Write the receipt's queue entry."""
        self.blobs.replace(naming.RECEIPTS, QueueEntry.of(receipt).blob, b"")

    def dequeue(self, receipt: Receipt) -> None:
        """Remove the receipt's queue entry."""
        self.remove_entry(QueueEntry.of(receipt))

    def remove_entry(self, queued: QueueEntry) -> None:
        """Remove a queue entry."""
        self.blobs.delete(naming.RECEIPTS, queued.blob)

    def flag_queue(self, receipt: Receipt) -> bool:
        """Set `has_queue` after an entry was written; return whether the receipt's experiment could have a slot.

        A host that releases a slot later sees the flag and checks for entries; a slot released before is seen here.
        """
        changed = self._change(
            lambda running: running if running.has_queue else running.with_(running.jobs, has_queue=True),
            receipt.name,
        )
        return changed is None or self.limits.refusal(receipt.experiment, changed.jobs.values()) is None

    def release(self, jobs: Collection[str]) -> bool:
        """Release the slots of jobs that have ended; return whether any drop waits for a slot."""
        if self.limits.unlimited:
            return False

        def edit(running: SlotTable) -> SlotTable:
            left = {job: receipt for job, receipt in running.jobs.items() if job not in jobs}
            return running if len(left) == len(running.jobs) else running.with_(left, has_queue=running.has_queue)

        changed = self._change(edit, "/".join(sorted(jobs)))
        if changed is None:
            logger.warning("The slots of %s could not be released; reconcile will release them.", sorted(jobs))
        return changed is not None and changed.has_queue

    def adopt(self, receipts: Mapping[str, str]) -> None:
        """Give slots to jobs that run without one, as they began while there were no limits."""
        self._change(
            lambda running: (
                running.with_({**receipts, **running.jobs}, has_queue=running.has_queue)
                if receipts.keys() - running.jobs.keys()
                else running
            ),
            "place",
        )

    def running(self) -> Mapping[str, str]:
        """Return the jobs that have a slot, each with the name of its receipt."""
        return {} if self.limits.unlimited else self._read()[0].jobs

    def queued(self) -> list[QueueEntry]:
        """Return the queue entries, oldest first."""
        return [
            QueueEntry(order=int(item.name.split("/")[1]), ref=DropRef.of_blob(item.name))
            for item in iter_items(self.blobs, naming.RECEIPTS, QUEUED, size=MAX_LIST_PAGE)
        ]

    def grant_free(self, job_of: Callable[[QueueEntry], str | None]) -> list[QueueEntry]:
        """Grant free slots to the next in the queue, in one write; return their entries.

        `job_of` returns the job of an entry, or removes the entry and returns None if it no longer waits.
        """
        for number in range(TRIES):
            running, etag = self._read()
            queued = [one for one in self.queued() if str(one.ref) not in running.jobs.values()]
            chosen: dict[str, QueueEntry] = {}
            left = list(queued)
            while turn := self.limits.chosen(
                [*running.jobs.values(), *(str(one.ref) for one in chosen.values())], left
            ):
                for one in turn:
                    left.remove(one)
                    if (job := job_of(one)) is not None:
                        chosen[job] = one
            following = running.with_(
                {**running.jobs, **{job: str(one.ref) for job, one in chosen.items()}}, has_queue=bool(left)
            )
            if following == running:
                return []
            if self._write(following, etag) is not None:
                if not following.has_queue and any(one not in queued for one in self.queued()):
                    # An entry was written meanwhile, by a host that saw `has_queue` set: this write has cleared it.
                    self._change(lambda now: now.with_(now.jobs, has_queue=True), "queue")
                    if not chosen:
                        continue
                return list(chosen.values())
            self._pause(number, "next")
        logger.warning("No free slot could be granted: other hosts wrote first. The next job that ends tries again.")
        return []

    def _change(self, edit: Callable[[SlotTable], SlotTable], of: str) -> SlotTable | None:
        """Apply an edit; return the table afterwards, or None if others wrote first each time."""
        for number in range(TRIES):
            running, etag = self._read()
            changed = edit(running)
            if changed == running or self._write(changed, etag) is not None:
                return changed
            self._pause(number, of)
        return None

    def _read(self) -> tuple[SlotTable, str | None]:
        try:
            blob = self.blobs.read(naming.RECEIPTS, RUNNING_BLOB)
        except BlobNotFound:
            return SlotTable(), None
        try:
            return SlotTable.from_bytes(blob.data), blob.etag
        except ValidationError:
            # The next round of `reconcile` gives running jobs their slots back.
            logger.exception("%s/%s cannot be read; it is written anew.", naming.RECEIPTS, RUNNING_BLOB)
            return SlotTable(has_queue=True), blob.etag

    def _write(self, running: SlotTable, etag: str | None) -> SlotTable | None:
        try:
            if etag is None:
                self.blobs.create(naming.RECEIPTS, RUNNING_BLOB, running.to_bytes())
            else:
                self.blobs.replace(naming.RECEIPTS, RUNNING_BLOB, running.to_bytes(), etag=etag)
        except PreconditionFailed:
            return None
        return running

    def _pause(self, number: int, of: str) -> None:
        self.sleep(CONTENTION.delay(number, of))

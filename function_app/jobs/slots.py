"""Admission: how many jobs go on at once, of one experiment and in all, and whose turn is next.

`receipts/.running.json` holds the jobs that have a place. It is written on the condition that nobody else wrote it, so
two hosts never give the same place away. Who finds no place leaves a mark, `.queued/<order>/<experiment>/<drop>`, and
then looks again; who gives a place back looks for marks after that: one of the two sees the other. `has_queue` in the
blob says that there are marks, so that where nobody waits a job costs one read and one write when it begins, and the
same when it ends, and so that nobody overtakes those who wait.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import naming
from function_app.domain.backoff import lost_race
from function_app.domain.document import Document
from function_app.domain.receipt import Receipt
from function_app.errors import BlobNotFound, PreconditionFailed
from function_app.ports.storage import Blobs, pages

logger = logging.getLogger(__name__)

RUNNING_BLOB = ".running.json"
QUEUED = ".queued/"
TRIES = 8
"""How often a write that lost its race is tried again: each loss means that another job got its place."""
_PAGE = 5000


class Running(Document):
    """`.running.json`. `jobs` are those that have a place, each with the name of its receipt."""

    version: int = 1
    has_queue: bool = False
    jobs: Mapping[str, str] = {}

    def with_(self, jobs: Mapping[str, str], *, has_queue: bool) -> "Running":
        return Running(jobs=dict(jobs), has_queue=has_queue)


@frozen(kw_only=True, order=True)
class Queued:
    """A drop that waits for a place. `order` is its attempt's sequence: the lowest is the oldest."""

    order: int
    experiment: str
    drop: str

    @classmethod
    def of(cls, receipt: Receipt) -> "Queued":
        attempt = receipt.attempt
        order = attempt.sequence if attempt else receipt.sequence
        return cls(order=order, experiment=receipt.experiment, drop=receipt.drop)

    @property
    def receipt(self) -> str:
        return f"{self.experiment}/{self.drop}"

    @property
    def blob(self) -> str:
        return f"{QUEUED}{self.order:011d}/{self.receipt}"


@frozen(kw_only=True)
class Limits:
    """How many jobs may go on at once; 0 is as many as there are."""

    per_experiment: int
    in_all: int

    @property
    def are_off(self) -> bool:
        return not (self.per_experiment or self.in_all)

    def refusal(self, experiment: str, receipts: Collection[str]) -> str | None:
        """Return why a job of the experiment has no place beside the jobs of these receipts, or None where it has."""
        if self.in_all and len(receipts) >= self.in_all:
            return f"{len(receipts)} jobs go on, and {self.in_all} may (KEDJA_MAX_JOBS)."
        count = sum(name.partition("/")[0] == experiment for name in receipts)
        if self.per_experiment and count >= self.per_experiment:
            return f"{count} jobs of {experiment} go on, and {self.per_experiment} may (KEDJA_MAX_JOBS_PER_EXPERIMENT)."
        return None

    def chosen(self, receipts: Iterable[str], queued: Iterable[Queued]) -> list[Queued]:
        """Return whose turn it is: an experiment with fewer jobs goes first, and in an experiment the oldest drop."""
        taken = list(receipts)
        counts = Counter(name.partition("/")[0] for name in taken)
        lines: dict[str, deque[Queued]] = {}
        for one in sorted(queued):
            lines.setdefault(one.experiment, deque()).append(one)
        found: list[Queued] = []
        while lines:
            head = min((line[0] for line in lines.values()), key=lambda one: (counts[one.experiment], one))
            line = lines[head.experiment]
            if self.refusal(head.experiment, taken):
                line.clear()
            else:
                found.append(line.popleft())
                taken.append(head.receipt)
                counts[head.experiment] += 1
            if not line:
                del lines[head.experiment]
        return found


@frozen(kw_only=True)
class Refusal:
    """There is no place now. `may_be_free` says that there may be one for whoever is the first in the queue."""

    reason: str
    may_be_free: bool = False


@frozen(kw_only=True)
class Admission:
    """Gives places to jobs and takes them back. Every step may be repeated."""

    blobs: Blobs
    limits: Limits
    sleep: Callable[[float], None] = time.sleep

    def admit(self, receipt: Receipt) -> Refusal | None:
        """Take a place for the receipt's last attempt, which may have it already; return why there is none."""
        if self.limits.are_off or receipt.job is None:
            return None
        refusal: Refusal | None = None

        def edit(running: Running) -> Running:
            nonlocal refusal
            refusal = None
            if receipt.job in running.jobs:
                return running
            reason = self.limits.refusal(receipt.experiment, running.jobs.values())
            if reason is None and running.has_queue:
                reason = "Other drops waited before it."
                refusal = Refusal(reason=reason, may_be_free=True)
                return running
            if reason is not None:
                refusal = Refusal(reason=reason)
                return running
            return running.with_({**running.jobs, str(receipt.job): receipt.name}, has_queue=False)

        if self._change(edit, receipt.name) is None:
            return Refusal(reason="Many jobs begin at this moment.", may_be_free=True)
        return refusal

    def holds(self, receipt: Receipt) -> bool:
        """Return whether the receipt's last attempt has a place, or needs none."""
        return self.limits.are_off or receipt.job in self._read()[0].jobs

    def mark(self, receipt: Receipt) -> None:
        """Note that the receipt waits for a place."""
        self.blobs.replace(naming.RECEIPTS, Queued.of(receipt).blob, b"")

    def unmark(self, receipt: Receipt) -> None:
        """Note that the receipt does not wait any more."""
        self.forget(Queued.of(receipt))

    def forget(self, queued: Queued) -> None:
        """Take a mark away."""
        self.blobs.delete(naming.RECEIPTS, queued.blob)

    def announce_queue(self, receipt: Receipt) -> bool:
        """Say that there are marks, after one was left; return whether a place is free for some of them.

        Whoever gives a place back after this sees it, and looks for marks; what came free before is seen here.
        """
        changed = self._change(
            lambda running: running if running.has_queue else running.with_(running.jobs, has_queue=True),
            receipt.name,
        )
        return changed is None or self.limits.refusal(receipt.experiment, changed.jobs.values()) is None

    def release(self, jobs: Collection[str]) -> bool:
        """Take back the places of jobs that have ended; return whether someone waits for one."""
        if self.limits.are_off:
            return False

        def edit(running: Running) -> Running:
            left = {job: receipt for job, receipt in running.jobs.items() if job not in jobs}
            return running if len(left) == len(running.jobs) else running.with_(left, has_queue=running.has_queue)

        changed = self._change(edit, "/".join(sorted(jobs)))
        if changed is None:
            logger.warning("The places of %s could not be given back; reconcile does.", sorted(jobs))
        return changed is not None and changed.has_queue

    def place(self, receipts: Mapping[str, str]) -> None:
        """Note jobs that go on without a place: they began while there were no limits."""
        self._change(
            lambda running: (
                running.with_({**receipts, **running.jobs}, has_queue=running.has_queue)
                if receipts.keys() - running.jobs.keys()
                else running
            ),
            "place",
        )

    def running(self) -> Mapping[str, str]:
        """Return the jobs that have a place, each with the name of its receipt."""
        return {} if self.limits.are_off else self._read()[0].jobs

    def queued(self) -> list[Queued]:
        """Return the marks, oldest first."""
        found = []
        for page in pages(self.blobs, naming.RECEIPTS, QUEUED, size=_PAGE):
            for item in page:
                _, order, experiment, drop = item.name.split("/")
                found.append(Queued(order=int(order), experiment=experiment, drop=drop))
        return found

    def next(self, job_of: Callable[[Queued], str | None]) -> list[Queued]:
        """Give free places to those whose turn it is, in one write; return them.

        `job_of` names the job that a mark waits to begin, or takes the mark away and returns None where it waits no
        more.
        """
        for number in range(TRIES):
            running, etag = self._read()
            queued = [one for one in self.queued() if one.receipt not in running.jobs.values()]
            chosen: dict[str, Queued] = {}
            left = list(queued)
            while turn := self.limits.chosen([*running.jobs.values(), *(one.receipt for one in chosen.values())], left):
                for one in turn:
                    left.remove(one)
                    if (job := job_of(one)) is not None:
                        chosen[job] = one
            following = running.with_(
                {**running.jobs, **{job: one.receipt for job, one in chosen.items()}}, has_queue=bool(left)
            )
            if following == running:
                return []
            if self._write(following, etag) is not None:
                if not following.has_queue and any(one not in queued for one in self.queued()):
                    # Whoever left a mark meanwhile has seen that there was a queue, and there is none any more.
                    self._change(lambda now: now.with_(now.jobs, has_queue=True), "queue")
                    if not chosen:
                        continue
                return list(chosen.values())
            self._pause(number, "next")
        logger.warning("Nobody could be given a free place, as others took them; the next job that ends tries again.")
        return []

    def _change(self, edit: Callable[[Running], Running], of: str) -> Running | None:
        """Apply an edit; return what is there then, or None where others were faster each time."""
        for number in range(TRIES):
            running, etag = self._read()
            changed = edit(running)
            if changed == running or self._write(changed, etag) is not None:
                return changed
            self._pause(number, of)
        return None

    def _read(self) -> tuple[Running, str | None]:
        try:
            blob = self.blobs.read(naming.RECEIPTS, RUNNING_BLOB)
        except BlobNotFound:
            return Running(), None
        try:
            return Running.decoded(blob.data), blob.etag
        except ValidationError:
            # Whoever has a place gets it back in the next round of reconcile.
            logger.exception("%s/%s cannot be read, and is written anew.", naming.RECEIPTS, RUNNING_BLOB)
            return Running(has_queue=True), blob.etag

    def _write(self, running: Running, etag: str | None) -> Running | None:
        try:
            if etag is None:
                self.blobs.create(naming.RECEIPTS, RUNNING_BLOB, running.encoded())
            else:
                self.blobs.replace(naming.RECEIPTS, RUNNING_BLOB, running.encoded(), etag=etag)
        except PreconditionFailed:
            return None
        return running

    def _pause(self, number: int, of: str) -> None:
        self.sleep(lost_race(number, of))

"""What must hold of a world whatever happened in it, read from storage, the registry and the published events alone."""

import functools
import itertools
from collections import Counter
from collections.abc import Iterable

from attrs import define, field

from function_app.domain import naming
from function_app.domain.attempt import Attempt
from function_app.domain.drop import Drop
from function_app.domain.plan import ReadyPlan
from function_app.domain.receipt import FINAL, TRANSITIONS, Order, Receipt, Status
from function_app.drops.job_yaml import canonical_of_invalid
from function_app.jobs.outage import needs_polling
from function_app.jobspec.problem import InvalidJobSpec
from function_app.models.champion import Champion
from function_app.models.ownership import ModelOwner
from function_app.ports.training_service import JOB_TAG, RECEIPT_TAG
from function_app.store.latest_drop import LatestDrop
from tests.unit.simulation import World

TERMINAL_EVENTS = {
    Status.REGISTERED: "Kedja.ModelRegistered",
    Status.NOT_REGISTERED: "Kedja.ModelNotRegistered",
    Status.FAILED: "Kedja.JobFailed",
    Status.CANCELED: "Kedja.JobCanceled",
    Status.SUPERSEDED: "Kedja.JobCanceled",
    Status.REJECTED: "Kedja.DropRejected",
}
"""What is reported about the end of an attempt."""

FIRST = ("first drop", "complete now")
"""Why a receipt's first attempt is claimed; every other one has to be asked for by someone or something."""


def all_receipts(world: World) -> list[Receipt]:
    return [
        _receipt(world.blobs.stored[naming.RECEIPTS, name].data)
        for name in world.blobs.names_in(naming.RECEIPTS)
        if not name.startswith(".") and not name.endswith("/latest.json")
    ]


@functools.lru_cache(maxsize=100)
def _receipt(data: bytes) -> Receipt:
    """Return a receipt, whose content is looked at after each step and seldom another."""
    return Receipt.from_bytes(data)


@define
class Oracle:
    """Compares what can be seen now with what could be seen before."""

    world: World
    seen: dict[str, Receipt] = field(factory=dict)
    latest: dict[str, Order] = field(factory=dict)
    champions: dict[str, int] = field(factory=dict)

    # What holds after every step.

    def check(self) -> None:
        for receipt in all_receipts(self.world):
            self._check_history(receipt)
            self._check_attempts(receipt)
            ids = [one.id for one in receipt.outbox]
            assert len(ids) == len(set(ids)), f"{receipt.name} has an event twice in its outbox: {ids}"
            self.seen[receipt.name] = receipt
        self._check_jobs()
        self._check_pointers()
        self._check_events()

    def _check_history(self, receipt: Receipt) -> None:
        statuses = [change.status for change in receipt.history]
        for before, after in itertools.pairwise(statuses):
            assert after == before or after in TRANSITIONS[before], f"{receipt.name} went from {before} to {after}."
        assert statuses[-1] == receipt.status, f"{receipt.name} is {receipt.status}; its history says {statuses}."
        if old := self.seen.get(receipt.name):
            assert receipt.history[: len(old.history)] == old.history, f"The past of {receipt.name} was rewritten."
            assert len(receipt.attempts) >= len(old.attempts), f"An attempt of {receipt.name} is gone."

    def _check_attempts(self, receipt: Receipt) -> None:
        numbers = [one.number for one in receipt.attempts]
        assert numbers == list(range(1, len(numbers) + 1)), f"{receipt.name} has the attempts {numbers}."
        first = [one for one in receipt.attempts if one.why in FIRST]
        assert receipt.spec or not receipt.attempts, f"{receipt.name} has an attempt, and does not say what is run."
        assert len(first) <= 1, f"{receipt.name} began twice: {[one.why for one in receipt.attempts]}"

    def _check_jobs(self) -> None:
        known = {one.job: receipt for receipt in all_receipts(self.world) for one in receipt.attempts}
        for job in self.world.training.jobs.values():
            assert job.name in known, f"The job {job.name} belongs to no attempt."
            tags = self.world.training.requests[job.name].document["tags"]  # somebody may have changed the job's own
            assert tags[RECEIPT_TAG] == known[job.name].name, f"The job {job.name} has another receipt's tag."
        # One that the service did not know for long gave its place to another job.
        given_up = {
            one.job for receipt in all_receipts(self.world) for one in receipt.attempts if one.gone or one.reopened
        }
        living = [job.name for job in self.world.live_jobs() if job.name not in given_up]
        live = Counter(known[name].experiment for name in living)
        limit = self.world.kedja.settings.max_jobs_per_experiment
        assert not limit or max(live.values(), default=0) <= limit, f"So many jobs go on: {live}"

    def _check_pointers(self) -> None:
        """`latest.json` and `champion.json` only move forward."""
        for (container, name), stored in self.world.blobs.stored.items():
            if container == naming.RECEIPTS and name.endswith("/latest.json"):
                latest = LatestDrop.from_bytes(stored.data)
                now = latest.order
                assert now >= self.latest.get(name, now), f"{name} went back to {now} from {self.latest[name]}."
                self.latest[name] = now
            elif container == naming.MODELS and name.endswith("/champion.json"):
                champion = Champion.from_bytes(stored.data)
                sequence = champion.sequence
                assert sequence >= self.champions.get(name, sequence), f"{name} went back to {sequence}."
                self.champions[name] = sequence
                holders = {champion.experiment, *(one.receipt.partition("/")[0] for one in champion.history)}
                assert len(holders) == 1, f"{name} was taken by another experiment: {holders}"

    def _check_events(self) -> None:
        """A repeat says the very same thing under the same id."""
        told: dict[str, object] = {}
        for one in self.world.publisher.published:
            content = (one.type, one.source, one.subject, one.data)
            assert told.setdefault(one.id, content) == content, f"{one.id} was told twice: {told[one.id]}, {content}"

    # What holds once all has come to rest.

    def check_end(self, folders: Iterable[str], *, with_deletions: Iterable[str] = ()) -> None:
        self.check()
        assert self.world.queues.messages == [], f"Still on the queues: {self.world.queues.messages}"
        asked = {one.name for one in all_receipts(self.world) if needs_polling(one)}
        opened = {name.removeprefix(".open/") for name in self.world.opened()}
        assert opened <= asked, f"Still open: {opened - asked}"  # what waits for a service is looked at each round
        assert self.world.markers() == [], f"Still marked: {self.world.markers()}"
        assert self.world.live_jobs() == [], f"Still running: {[job.name for job in self.world.live_jobs()]}"
        assert self.world.blobs.names_in(naming.RECEIPTS, ".poison/") == []
        assert self.world.blobs.names_in(naming.RECEIPTS, ".queued/") == [], "Someone still waits for a place."
        assert self.world.kedja.submitter.job_queue.slots.running() == {}, "A place was not given back."
        for receipt in all_receipts(self.world):
            self._check_told(receipt)
        for folder in folders:
            self._check_taken(folder, deleted=folder in with_deletions)
        self._check_models()

    def _check_taken(self, folder: str, *, deleted: bool) -> None:
        """What lies there now has a receipt, and where it was ready, a job."""
        drop = Drop.list_drop(self.world.blobs, folder)
        if drop.is_empty:
            return
        latest = self.world.kedja.receipts.latest(drop.experiment)
        assert latest is not None, f"Nothing was taken of {folder}."
        assert drop.newest is not None
        assert drop.newest <= latest.newest_upload, f"A file of {folder} was lost: {drop.newest}, {latest}"
        if deleted:
            return
        settler = self.world.kedja.settler
        spec = settler.spec(drop)
        if isinstance(spec, InvalidJobSpec):
            # Not always the latest: somebody may have retried an older drop since.
            rejected = self.world.kedja.receipts.load(drop.ref(canonical_of_invalid(drop)))
            assert rejected.status is Status.REJECTED, f"{rejected.name} is {rejected.status}."
            return
        plan = settler.planner.plan(drop, spec)
        owner = ModelOwner.read(self.world.blobs, spec.kedja.registration.model or drop.experiment)
        receipt = self.world.kedja.receipts.find(plan.drop.ref(spec.canonical()))
        assert receipt is not None, f"What lies in {folder} has no receipt."
        if owner is not None and owner[0].owner != drop.experiment:
            assert receipt.model is None, f"{receipt.name} registered {receipt.model}, which is {owner[0].owner}'s."
            return
        assert not isinstance(plan, ReadyPlan) or receipt.attempts, (
            f"{receipt.name} was ready, and no attempt was made."
        )

    def _check_told(self, receipt: Receipt) -> None:
        assert receipt.status in FINAL or receipt.status is Status.WAITING, f"{receipt.name} is {receipt.status}."
        assert receipt.outbox == (), f"{receipt.name} has events to tell."
        assert receipt.attempts or receipt.status in (Status.WAITING, Status.REJECTED, Status.SUPERSEDED)
        told: Counter[tuple[str, str]] = Counter()
        for one in {one.id: one for one in self.world.publisher.published}.values():
            if one.data["receipt"] == f"{receipt.name}.json" and one.type.value in TERMINAL_EVENTS.values():
                told[str(one.data.get("attempt")), one.type.value] += 1
        went_on = [one.why.startswith("preempted") for one in (*receipt.attempts[1:], *receipt.attempts[:1])]
        for attempt, is_followed in zip(receipt.attempts, went_on, strict=True):
            ends = {kind: count for (number, kind), count in told.items() if number == str(attempt.number)}
            expected = (0 if is_followed else 1) + attempt.reopened
            assert sum(ends.values()) == expected, f"{attempt.job} ended as {ends}: {receipt.history}"
        if last := receipt.attempt:
            count = told[str(last.number), TERMINAL_EVENTS[receipt.status]]
            assert 1 <= count <= 1 + last.reopened, f"{receipt.name} told {told}."

    def _check_models(self) -> None:
        holders = {(one.model, one.tags[RECEIPT_TAG].partition("/")[0]) for one in self.world.training.current()}
        assert len(holders) == len(dict(holders)), f"A model has versions of several experiments: {holders}"
        versions = Counter(one.tags[JOB_TAG] for one in self.world.training.current())
        assert set(versions.values()) <= {1}, f"A job has several versions: {versions}"
        attempts: dict[str, tuple[Receipt, Attempt]] = {
            one.job: (receipt, one) for receipt in all_receipts(self.world) for one in receipt.attempts
        }
        for one in self.world.training.current():
            receipt, attempt = attempts[one.tags[JOB_TAG]]
            manifest = f"{naming.model_prefix(one.model, one.version)}manifest.json"
            assert (naming.MODELS, manifest) in self.world.blobs.stored, f"{manifest} is missing."
            if attempt == receipt.attempt:
                assert receipt.model is not None
                assert (receipt.model.model, receipt.model.version) == (one.model, one.version)

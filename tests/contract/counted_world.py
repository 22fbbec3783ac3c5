"""A world in memory whose calls to storage and the training service are counted."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from attrs import define, field

from function_app.ports.storage import Blobs
from function_app.ports.training_service import JobStatus, TrainingService
from tests.unit.simulation import SCRIPT, World, assembled, blob_created, encoded, run_status_changed

KINDS: Mapping[str, str] = {
    "blobs.create": "writes",
    "blobs.replace": "writes",
    "blobs.append": "writes",
    "blobs.copy": "writes",
    "blobs.list": "lists",
    "blobs.page": "lists",
    "blobs.folders": "lists",
    "blobs.read": "reads",
    "blobs.read_from": "reads",
    "blobs.get": "other",
    "blobs.lease": "other",
    "blobs.release": "other",
    "blobs.delete": "deletes",
    "queues.send": "messages",
}
"""What storage's price list calls each call; every other one is the training service's."""
COLUMNS = ("writes", "reads", "lists", "other", "deletes", "messages", "training")
Counts = Counter[str]


@define
class Counted:
    """A port whose calls are counted by name; a lease is let go by a call of its own."""

    port: object
    name: str
    counts: Counts

    def __getattr__(self, operation: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self.port, operation)
        if not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            self.counts[f"{self.name}.{operation}"] += 1
            if operation == "lease":
                self.counts["blobs.release"] += 1
            if operation == "create" or options.get("etag") or options.get("lease"):
                self.counts["conditional"] += 1
            return found(*args, **options)

        return call


@define
class CountedWorld:
    """A world in memory, and what each step in it cost."""

    world: World
    counts: Counts = field(factory=Counter)

    @classmethod
    def make(cls, **settings: int) -> "CountedWorld":
        counted = cls(World.make(**settings))
        world, port = counted.world, partial(Counted, counts=counted.counts)
        world.kedja = assembled(
            world.kedja.settings,
            cast("Blobs", port(world.blobs, "blobs")),
            cast("Any", port(world.queues, "queues")),
            cast("TrainingService", port(world.training, "training")),
            world.publisher,
            world.clock,
        )
        return counted

    def cost(self, step: Callable[[], object]) -> Counts:
        """Return what a step costs."""
        before = self.counts.copy()
        step()
        return self.counts - before

    def event(self, path: str) -> Counts:
        """Have the event of a file worked on, without the message that brought it."""
        body = encoded(blob_created(path))
        return self.cost(lambda: self.world.kedja.on_blob_event(body, message=path, delivery=1))

    def settle(self) -> Counts:
        return self.cost(self.world.rest)

    def drop(self, *, folder: str = "digits", data: int = 1, scripts: int = 1) -> None:
        """Have files, and the event of one: what the others cost is counted by itself."""
        paths = [f"scripts/{folder}/train.py", *(f"scripts/{folder}/lib/{n}.py" for n in range(scripts - 1))]
        for path in (*paths, *(f"data/{folder}/{n:06}.npz" for n in range(data))):
            container, _, name = path.partition("/")
            self.world.blobs.upload(container, name, SCRIPT)
        self.event(paths[0])

    def submitted(self, **drop: Any) -> str:  # noqa: ANN401 - those of `drop`
        """Return the job of a drop."""
        self.drop(**drop)
        self.world.rest()
        return self.world.live_jobs()[-1].name

    def look(self, job: str, status: JobStatus) -> Counts:
        """Have a job change, and its event worked on."""
        self.world.tells_of_runs = False
        self.world.training.move(job, status)
        body = encoded(run_status_changed(job, self.world.training.jobs[job].detail))

        def event() -> None:
            self.world.kedja.on_run_event(body)
            self.world.rest()

        return self.cost(event)

    def register(self, files: int) -> Counts:
        """Have a job's model registered that left so many files."""
        job = self.submitted()
        self.look(job, JobStatus.RUNNING)
        made = {"model.npz": b"w", **{f"extra/{number}": b"x" for number in range(files - 1)}}
        self.world.training.write_outputs(job, made, metrics={}, exit_code=0)
        return self.look(job, JobStatus.COMPLETED)

    def reconcile(self) -> Counts:
        self.world.clock.advance(300)
        return self.cost(self.world.reconcile)


def row(counts: Mapping[str, int]) -> tuple[int, ...]:
    """Return a step's numbers in the order of COLUMNS."""
    by_kind: Counts = Counter()
    for call, number in counts.items():
        if call != "conditional":
            by_kind[KINDS.get(call, "training")] += number
    return tuple(by_kind[column] for column in COLUMNS)


def less(more: Counts, fewer: Counts) -> Counts:
    return Counter({call: more[call] - fewer[call] for call in more if more[call] != fewer[call]})

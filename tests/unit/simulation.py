"""A world in memory around the service: files are dropped, events come, queues deliver, jobs run, time passes."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from operator import attrgetter
from typing import Any, Self
from urllib.parse import quote

from attrs import define, evolve, field

from function_app.container import assemble
from function_app.domain import naming
from function_app.domain.receipt import Receipt
from function_app.operations.service import Kedja
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import Job, JobStatus, TrainingService
from function_app.settings import Settings
from tests.unit.memory import MemoryBlobs, MemoryQueues, Message, VirtualClock
from tests.unit.memory_training import MemoryPublisher, MemoryTraining

ACCOUNT_URL = "https://kedja.blob.core.windows.net"
VISIBILITY = 30.0
"""Seconds after which a message comes again whose function failed, as host.json says."""
MOST_DELIVERIES = 10
PATIENCE = 6 * 3600.0
"""Seconds within which the world has to come to rest."""

_VISIBLE = attrgetter("visible")

SCRIPT = b"print('trained')\n"


class Killed(BaseException):
    """The process of the function was killed."""


@define
class World:
    """Everything around the service, and the service."""

    clock: VirtualClock
    blobs: MemoryBlobs
    queues: MemoryQueues
    training: MemoryTraining
    publisher: MemoryPublisher
    kedja: Kedja
    chance: random.Random = field(factory=lambda: random.Random(7))  # noqa: S311 - repeatable on purpose
    shuffled: bool = False
    """Whether messages that are due are delivered in any order."""
    tells_of_runs: bool = True
    """Whether the workspace's events arrive."""
    next_process: Kedja | None = None
    """The service of the process that takes the place of one that is killed."""
    failures: list[str] = field(factory=list)
    """What functions raised, in the order of their failing."""
    asked: int = 0
    """How often the service was called, by a message, the timer or a person."""
    killed: int = 0
    """How many of its processes were killed."""

    @classmethod
    def make(cls, **settings: Any) -> Self:  # noqa: ANN401 - those of Settings
        clock = VirtualClock()
        blobs, publisher = MemoryBlobs(clock), MemoryPublisher()
        queues, training = MemoryQueues(clock), MemoryTraining(clock, blobs)
        kedja = assembled(Settings(**settings), blobs, queues, training, publisher, clock)
        world = cls(clock=clock, blobs=blobs, queues=queues, training=training, publisher=publisher, kedja=kedja)
        training.listeners.append(world._run_changed)
        return world

    def copy(self) -> "World":
        """Return another world in the same state, around a service of its own that has just begun."""
        clock = VirtualClock(self.clock.now)
        blobs, queues = self.blobs.copy_of_all(clock), self.queues.copy_of_all(clock)
        training = self.training.copy_of_all(clock, blobs)
        publisher = evolve(self.publisher, published=[*self.publisher.published], refused={*self.publisher.refused})
        chance = random.Random()  # noqa: S311 - as above
        chance.setstate(self.chance.getstate())
        world = evolve(
            self,
            clock=clock,
            blobs=blobs,
            queues=queues,
            training=training,
            publisher=publisher,
            kedja=assembled(self.kedja.settings, blobs, queues, training, publisher, clock),
            chance=chance,
            next_process=None,
            failures=[*self.failures],
        )
        training.listeners.append(world._run_changed)
        return world

    # What users do.

    def drop(self, path: str, data: bytes = b"x", *, times: int = 1, hashed: bool = True) -> None:
        """Upload `<container>/<folder>/<name>`, and have its event delivered so many times."""
        container, _, name = path.partition("/")
        self.blobs.upload(container, name, data, hashed=hashed)
        self.announce(path, times=times)

    def announce(self, path: str, *, times: int = 1) -> None:
        """Have Event Grid tell of a file."""
        event = blob_created(path)
        for _ in range(times):
            self.queues.send(naming.BLOB_EVENTS, event)

    def drop_digits(self) -> None:
        """Drop a script and its data, the ordinary way."""
        self.drop("scripts/digits/train.py", SCRIPT)
        self.drop("data/digits/digits.npz", b"digits")

    # What happens.

    def rest(self, *, patience: float = PATIENCE) -> None:
        """Deliver messages, and let time pass for those that wait, until there are none."""
        self.go_on(patience)
        assert not self.queues.messages, f"Still on the queues after {patience} s: {self.queues.messages[:3]}"

    def go_on(self, seconds: float) -> None:
        """Deliver messages for so many seconds."""
        until = self.clock() + timedelta(seconds=seconds)
        while self.queues.messages:
            due = min(map(_VISIBLE, self.queues.messages))
            if due > until:
                self.clock.now = until
                return
            self.clock.now = max(self.clock.now, due)
            self.deliver(self._next())

    def _next(self) -> Message:
        now = self.clock()
        due = [message for message in self.queues.messages if message.visible <= now]
        return self.chance.choice(due) if self.shuffled else min(due, key=_VISIBLE)

    def deliver(self, message: Message) -> None:
        """Call the function of a message as the host does: take it off the queue, or let it come again."""
        message.deliveries += 1
        try:
            self.call(message)
        except Killed:
            self._replace_process()
            message.visible = self.clock() + timedelta(seconds=VISIBILITY)
        except Exception as error:  # noqa: BLE001 - so does the host
            self.failures.append(f"{type(error).__name__}: {error}")
            if message.deliveries < MOST_DELIVERIES:
                message.visible = self.clock() + timedelta(seconds=VISIBILITY)
                return
            self.queues.messages.remove(message)
            self.queues.put(f"{message.queue}-poison", message.body)
        else:
            self.queues.messages.remove(message)

    def call(self, message: Message) -> None:
        """Call the function of a message."""
        self.asked += 1
        if message.queue.endswith("-poison"):
            self.kedja.on_poison(message.queue.removesuffix("-poison"), message.body, message=message.id)
        elif message.queue == naming.BLOB_EVENTS:
            self.kedja.on_blob_event(message.body, message=message.id, delivery=message.deliveries)
        elif message.queue == naming.SETTLED_DROPS:
            self.kedja.on_settled(message.body, message=message.id)
        else:
            self.kedja.on_run_event(message.body)

    def reconcile(self) -> None:
        """Let the timers come."""
        self.ask(lambda kedja: kedja.housekeeping.run())
        self.ask(lambda kedja: kedja.reconciler.run(id=self.clock().isoformat()))
        self.ask(lambda kedja: kedja.walk.run(id=self.clock().isoformat()))

    def ask(self, call: Callable[[Kedja], object]) -> bool:
        """Call the service; return whether its process lived to answer. If not, the next one takes its place."""
        self.asked += 1
        try:
            call(self.kedja)
        except Killed:
            self._replace_process()
            return False
        return True

    def _replace_process(self) -> None:
        self.kedja = self.next_process or self.kedja
        self.killed += 1

    def run_job(self, name: str | None = None, **result: Any) -> str:  # noqa: ANN401 - those of MemoryTraining.finish
        """Let a job, or the newest that has not ended, run to its end; return its name."""
        name = name or self.live_jobs()[-1].name
        if self.training.jobs[name].status is JobStatus.STARTING:
            self.training.move(name, JobStatus.RUNNING)
            self.rest()
        self.training.finish(name, **result)
        self.rest()
        return name

    # What can be seen.

    def live_jobs(self) -> list[Job]:
        return [job for job in self.training.jobs.values() if not job.status.is_final]

    def receipts(self, folder: str = "digits") -> list[Receipt]:
        """Return the receipts of an experiment, oldest first."""
        prefix = f"{naming.slug(folder)}/" if not folder.startswith("_") else f"{folder}/"
        found = [
            Receipt.decoded(self.blobs.stored[naming.RECEIPTS, name].data)
            for name in self.blobs.names_in(naming.RECEIPTS, prefix)
            if not name.endswith("/latest.json")
        ]
        return sorted(found, key=lambda receipt: (receipt.received_at, receipt.sequence))

    def receipt(self, folder: str = "digits") -> Receipt:
        """Return the only receipt of an experiment."""
        (receipt,) = self.receipts(folder)
        return receipt

    def opened(self) -> list[str]:
        return self.blobs.names_in(naming.RECEIPTS, ".open/")

    def markers(self) -> list[str]:
        return self.blobs.names_in(naming.RECEIPTS, ".settling/")

    def _run_changed(self, name: str) -> None:
        if self.tells_of_runs:
            self.queues.send(naming.RUN_EVENTS, run_status_changed(name, self.training.jobs[name].detail))


def assembled(
    settings: Settings,
    blobs: Blobs,
    queues: Queues,
    training: TrainingService,
    publisher: MemoryPublisher,
    clock: Callable[[], Any],
) -> Kedja:
    """Return the service over these ports."""
    return assemble(
        settings,
        blobs=blobs,
        queues=queues,
        training=training,
        publisher=publisher,
        account_url=ACCOUNT_URL,
        clock=clock,
    )


def blob_created(path: str, *, account_url: str = ACCOUNT_URL, api: str = "PutBlob", size: int = 6) -> dict[str, Any]:
    """Return the event of a file, as Event Grid's own schema has it."""
    container, _, name = path.partition("/")
    return {
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/kedja",
        "subject": f"/blobServices/default/containers/{container}/blobs/{name}",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-03-01T12:00:00Z",
        "id": f"event of {path}",
        "data": {
            "api": api,
            "contentLength": size,
            "blobType": "BlockBlob",
            "url": f"{account_url}/{container}/{quote(name)}",
        },
        "dataVersion": "",
        "metadataVersion": "1",
    }


def run_status_changed(job: str, status: str) -> dict[str, Any]:
    """Return the event of a run, as the workspace's system topic raises it."""
    return {
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/kedja",
        "subject": f"experiments/e/runs/{job}",
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
        "eventTime": "2026-03-01T12:00:00Z",
        "id": f"event of {job} {status}",
        "data": {"experimentName": "digits", "runId": job, "runType": "commandjob", "runStatus": status},
        "dataVersion": "2",
        "metadataVersion": "1",
    }


def encoded(events: Iterable[Mapping[str, Any]] | Mapping[str, Any]) -> bytes:
    return json.dumps(events if isinstance(events, Mapping) else list(events)).encode()

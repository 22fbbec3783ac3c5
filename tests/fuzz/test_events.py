"""Events and messages: whatever comes, it is understood or refused by an error of Kedja's own."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from function_app.domain import incoming_events, naming
from function_app.errors import InvalidEvent, KedjaError
from function_app.http.event_ingest import read_events
from function_app.models.job_result import JobResult, UnreadableResult
from function_app.ports.training_service import BlobFolder
from tests.fuzz import inputs
from tests.fuzz.budget import BATCH, fuzz, outcome, tried
from tests.fuzz.examples import EVENTS
from tests.unit.memory import LARGEST_MESSAGE
from tests.unit.simulation import World, blob_created

OWN = [blob_created("data/digits/more.npz"), blob_created("scripts/é/train.py"), blob_created("data/outside.npz")]
MESSAGES: list[Mapping[str, Any]] = [
    {"kind": "settle", "experiment": "digits", "folder": "digits", "trigger": "t", "since": "2026-03-01T12:00:00Z"},
    {"kind": "submit", "experiment": "digits", "drop": "0" * 64, "tries": 3},
    {"kind": "look", "job": "digits-0123456789abcdef-1", "tries": 1, "since": "2026-03-01T12:00:00Z"},
]
RESULT: Mapping[str, Any] = {
    "version": 1,
    "result": "completed",
    "reason": None,
    "exit_code": 0,
    "signal": None,
    "out_of_memory": False,
    "metrics": {"accuracy": 0.97},
    "files": [{"path": "model.npz", "size": 7, "sha256": "0" * 64}],
}
QUEUES = (naming.BLOB_EVENTS, naming.SETTLED_DROPS, naming.RUN_EVENTS)


def test_events() -> None:
    def check(body: bytes) -> None:
        found = outcome(
            InvalidEvent,
            lambda: [incoming_events.parse(raw) for raw in incoming_events.each(incoming_events.decode(body))],
        )
        if isinstance(found, InvalidEvent):
            assert len(str(found)) < 1000, "A refusal repeats what was sent."
            return
        for event in found:
            if isinstance(event, incoming_events.BlobCreated | incoming_events.RunChanged):
                assert incoming_events.parse(incoming_events.message(event)) == event
                size = len(json.dumps(incoming_events.message(event)).encode())
                assert size <= LARGEST_MESSAGE, f"{size} bytes"

    fuzz("events", inputs.bodies(inputs.mutated(EVENTS)), check)


class Service:
    """A service with something in it, made anew now and then."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.world = World.make()

    def fresh(self) -> World:
        if tried[self.kind] % BATCH == 1:
            self.world = World.make()
            self.world.drop_digits()
            self.world.rest()
            self.world.run_job(metrics={"accuracy": 0.9})
            receipt = self.world.receipt()
            assert receipt.job is not None
            MESSAGES[1] |= {"drop": receipt.drop}  # type: ignore[operator]
            MESSAGES[2] |= {"job": receipt.job}  # type: ignore[operator]
        return self.world


def test_queue_messages() -> None:
    """A function raises an error of Kedja's own or none, and a poison function takes whatever there is."""
    service = Service("queue messages")

    def check(message: tuple[str, bytes]) -> None:
        queue, body = message
        world = service.fresh()
        functions = {
            naming.BLOB_EVENTS: lambda: world.kedja.on_blob_event(body, message="m", delivery=1),
            naming.SETTLED_DROPS: lambda: world.kedja.on_settled(body, message="m"),
            naming.RUN_EVENTS: lambda: world.kedja.on_run_event(body),
        }
        with contextlib.suppress(KedjaError):
            functions[queue]()
        world.kedja.on_poison(queue, body, message="m")
        world.queues.messages.clear()

    both = inputs.mutated([*MESSAGES, *EVENTS, *OWN])
    fuzz("queue messages", st.tuples(st.sampled_from(QUEUES), inputs.bodies(both)), check)


def test_event_requests() -> None:
    header_names = st.sampled_from(["ce-specversion", "ce-type", "ce-id", "ce-source", "ce-data", "content-type"])
    values = st.one_of(
        st.sampled_from(["1.0", "application/json", "application/cloudevents+json", "text/plain; charset=x", "%ff%00"]),
        st.sampled_from(["application/cloudevents-batch+json", "Microsoft.Storage.BlobCreated", "a/b+json"]),
        inputs.texts,
    )

    def check(request: tuple[dict[str, str], bytes]) -> None:
        with contextlib.suppress(InvalidEvent):
            for event in read_events(*request):
                incoming_events.parse(event)

    requests = st.tuples(
        st.dictionaries(header_names, values, max_size=6), inputs.bodies(inputs.mutated([*EVENTS, EVENTS]))
    )
    fuzz("event requests", requests, check)


def test_job_results() -> None:
    """What a job says of itself is as hostile as the job."""
    world = World.make()

    def check(body: bytes) -> None:
        world.blobs.upload("azureml", "outputs/.kedja-manifest.json", body)
        with contextlib.suppress(UnreadableResult):
            JobResult.read(world.blobs, BlobFolder(container="azureml", prefix="outputs/"))

    fuzz("job results", inputs.bodies(inputs.mutated([RESULT])), check)

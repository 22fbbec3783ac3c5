"""The service: its components, and the handlers of its queues' messages."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from pydantic import TypeAdapter, ValidationError

from function_app.domain import incoming_events, naming
from function_app.domain.drop_ref import DropRef
from function_app.domain.messages import (
    ApprovedMessage,
    SettledDropsMessage,
    SettleMessage,
    SubmitMessage,
    SyncJobMessage,
    TrainingRequestMessage,
)
from function_app.domain.receipt import Receipt
from function_app.drops.intake import Intake
from function_app.drops.settling import Settler
from function_app.errors import InvalidEvent, KedjaError
from function_app.jobs.submission import Submitter
from function_app.jobs.tracking import JobTracker
from function_app.models.champion import Champions
from function_app.models.ownership import Owners
from function_app.operations.approvals import ApprovalService
from function_app.operations.experiments import Experiments
from function_app.operations.housekeeping import Housekeeping
from function_app.operations.ingest import EventIngest
from function_app.operations.job_commands import JobCommands
from function_app.operations.poison import PoisonStore
from function_app.operations.reconciliation import Reconciler
from function_app.operations.training_requests import TrainingRequests
from function_app.operations.walk import Walk
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings
from function_app.store.receipts import Receipts

_SETTLED_DROPS = TypeAdapter[SettleMessage | SubmitMessage | ApprovedMessage | TrainingRequestMessage](
    SettledDropsMessage
)
_SYNC_JOB = TypeAdapter(SyncJobMessage)


@frozen(kw_only=True)
class Kedja:
    """The service's components, and the handlers of its queues' messages."""

    settings: Settings
    clock: Clock
    blobs: Blobs
    queues: Queues
    training: TrainingService
    receipts: Receipts
    intake: Intake
    settler: Settler
    submitter: Submitter
    tracker: JobTracker
    reconciler: Reconciler
    walk: Walk
    housekeeping: Housekeeping
    job_commands: JobCommands
    training_requests: TrainingRequests
    event_ingest: EventIngest
    experiments: Experiments
    champions: Champions
    owners: Owners
    poison: PoisonStore
    approval_service: ApprovalService

    def on_blob_event(self, body: bytes, *, message: str, delivery: int) -> None:
        """Process a message of `blob-events`.

        Raises:
            InvalidEvent: the message is not a valid event.
        """
        for number, raw in enumerate(incoming_events.iter_events(incoming_events.decode(body))):
            event = incoming_events.parse(raw)
            if isinstance(event, incoming_events.BlobCreated):
                self.intake.on_blob_created(event, message=f"{message}/{number}", delivery=delivery)

    def on_settled(self, body: bytes, *, message: str) -> None:
        """Process a message of `settled-drops`: settle a folder, submit a receipt, resume a drop or answer a request.

        Raises:
            InvalidEvent: the message is not valid.
        """
        values = {"kind": "settle", **_object(incoming_events.decode(body))}
        request = _read(_SETTLED_DROPS, self.training_requests.kept_apart(values, of=message))
        match request:
            case SettleMessage():
                self.settler.settle(request, message=message)
            case SubmitMessage():
                self.submitter.submit(self.receipts.load(request.ref), tries=request.tries)
            case ApprovedMessage():
                self.approval_service.settle(request)
            case TrainingRequestMessage():
                self.training_requests.settle(request)

    def on_run_event(self, body: bytes) -> None:
        """Process a message of `run-events`: an event of the training service, or a request to check a job again.

        Raises:
            InvalidEvent: the message is not valid.
        """
        for raw in incoming_events.iter_events(incoming_events.decode(body)):
            if raw.get("kind") == "look":
                request = _read(_SYNC_JOB, raw)
                self.tracker.sync(request.job, tries=request.tries, since=request.since)
            elif isinstance(event := incoming_events.parse(raw), incoming_events.RunChanged):
                self.tracker.sync(event.job)

    def on_poison(self, queue: str, body: bytes, *, message: str) -> None:
        """Process a message of a poison queue: try it once more; if that fails, keep it and note it on its receipt."""
        work = {
            naming.BLOB_EVENTS: lambda: self.on_blob_event(body, message=message, delivery=2),
            naming.SETTLED_DROPS: lambda: self.on_settled(body, message=message),
            naming.RUN_EVENTS: lambda: self.on_run_event(body),
        }[queue]
        kept = self.poison.retry_or_keep(queue, message, body, work)
        if kept is not None:
            self.poison.note_on_receipt(kept, self._receipt_of(kept.body))

    def _receipt_of(self, body: str) -> Receipt | None:
        """Return the receipt that a message is about, else its experiment's latest; None if it names neither."""
        try:
            values = _object(incoming_events.decode(body))
            if values.get("kind") == "look":
                return self.job_commands.find(str(values.get("job")))
            if values.get("kind") in ("submit", "approved"):
                return self.receipts.find(DropRef(str(values.get("experiment")), str(values.get("drop"))))
            if values.get("kind") in ("settle", "request"):
                return self._latest(str(values.get("experiment")))
            event = incoming_events.parse(values)
            return self.job_commands.find(event.job) if isinstance(event, incoming_events.RunChanged) else None
        except KedjaError:
            return None

    def _latest(self, experiment: str) -> Receipt | None:
        latest = self.receipts.latest(experiment)
        return self.receipts.find(latest.ref) if latest else None


def _read[M](kind: TypeAdapter[M], values: Mapping[str, Any]) -> M:
    """Return a message that the service has put on a queue itself. Raise InvalidEvent if it is none."""
    try:
        return kind.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "kind"
        raise InvalidEvent(f"The message cannot be read: {place}: {first['msg']}") from error


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(f"A message must be a JSON object, not {type(value).__name__}.")
    return value

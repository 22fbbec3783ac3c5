"""The service: its parts, and what each kind of message has them do."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from pydantic import ValidationError

from function_app.domain import incoming_events, naming
from function_app.domain.document import Document
from function_app.domain.receipt import Receipt
from function_app.drops.intake import Intake, SettleRequest
from function_app.drops.settling import Settler
from function_app.errors import InvalidEvent, KedjaError
from function_app.jobs.job_queue import SubmitRequest
from function_app.jobs.submission import Submitter
from function_app.jobs.tracking import LookRequest, Watcher
from function_app.models.champion import Champions
from function_app.models.ownership import Owners
from function_app.operations.approvals import ApprovedRequest, Approver
from function_app.operations.experiments import Experiments
from function_app.operations.housekeeping import Housekeeping
from function_app.operations.ingest import Entrance
from function_app.operations.job_commands import Jobs
from function_app.operations.poison import PoisonCabinet
from function_app.operations.reconciliation import Reconciler
from function_app.operations.training_requests import TrainingRequest, TrainingRequests
from function_app.operations.walk import Walk
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings
from function_app.store.receipts import Receipts


@frozen(kw_only=True)
class Kedja:
    """The service's parts."""

    settings: Settings
    blobs: Blobs
    queues: Queues
    training: TrainingService
    receipts: Receipts
    intake: Intake
    settler: Settler
    submitter: Submitter
    watcher: Watcher
    reconciler: Reconciler
    walk: Walk
    housekeeping: Housekeeping
    jobs: Jobs
    requests: TrainingRequests
    entrance: Entrance
    experiments: Experiments
    champions: Champions
    owners: Owners
    poison: PoisonCabinet
    approver: Approver

    def on_blob_event(self, body: bytes, *, message: str, delivery: int) -> None:
        """Work on a message of `blob-events`."""
        for number, raw in enumerate(incoming_events.each(incoming_events.decode(body))):
            event = incoming_events.parse(raw)
            if isinstance(event, incoming_events.BlobCreated):
                self.intake.receive(event, message=f"{message}/{number}", delivery=delivery)

    def on_settled(self, body: bytes, *, message: str) -> None:
        """Work on a message of `settled-drops`: a folder to look at, or something to submit."""
        values = _object(incoming_events.decode(body))
        if values.get("kind") == "submit":
            request = _request(SubmitRequest, values)
            self.submitter.submit(self.receipts.load(request.experiment, request.drop), tries=request.tries)
        elif values.get("kind") == "approved":
            self.approver.settle(_request(ApprovedRequest, values))
        elif values.get("kind") == "request":
            self.requests.settle(_request(TrainingRequest, self.requests.kept_apart(values, of=message)))
        else:
            self.settler.settle(_request(SettleRequest, values), message=message)

    def on_run_event(self, body: bytes) -> None:
        """Work on a message of `run-events`: the training service's event, or a request to look again."""
        for raw in incoming_events.each(incoming_events.decode(body)):
            if raw.get("kind") == "look":
                request = _request(LookRequest, raw)
                self.watcher.look(request.job, tries=request.tries, since=request.since)
            elif isinstance(event := incoming_events.parse(raw), incoming_events.RunChanged):
                self.watcher.look(event.job)

    def on_poison(self, queue: str, body: bytes, *, message: str) -> None:
        """Work on a message of a poison queue: try it once more, keep it, and note it where people look."""
        work = {
            naming.BLOB_EVENTS: lambda: self.on_blob_event(body, message=message, delivery=2),
            naming.SETTLED_DROPS: lambda: self.on_settled(body, message=message),
            naming.RUN_EVENTS: lambda: self.on_run_event(body),
        }[queue]
        kept = self.poison.take(queue, message, body, work)
        if kept is not None:
            self.poison.draw_attention(kept, self._receipt_of(kept.body))

    def _receipt_of(self, body: str) -> Receipt | None:
        """Return the receipt that a message is about, or its experiment's latest, as far as the message tells."""
        try:
            values = _object(incoming_events.decode(body))
            if values.get("kind") == "look":
                return self.jobs.find(str(values.get("job")))
            if values.get("kind") in ("submit", "approved"):
                return self.receipts.find(str(values.get("experiment")), str(values.get("drop")))
            if values.get("kind") in ("settle", "request"):
                return self._latest(str(values.get("experiment")))
            event = incoming_events.parse(values)
            return self.jobs.find(event.job) if isinstance(event, incoming_events.RunChanged) else None
        except KedjaError:
            return None

    def _latest(self, experiment: str) -> Receipt | None:
        latest = self.receipts.latest(experiment)
        return self.receipts.find(latest.experiment, latest.drop) if latest else None


def _request[D: Document](kind: type[D], values: Mapping[str, Any]) -> D:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise InvalidEvent(f"The message is no {kind.__name__}: {place}: {error.errors()[0]['msg']}") from error


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidEvent(f"A message is a JSON object; here is {type(value).__name__}.")
    return value

"""Kedja, put together: every part connected to the storage, the training service and the topic that settings name."""

import logging
from collections.abc import Mapping
from typing import Any, Self

from attrs import frozen
from pydantic import ValidationError

from function_app.azure import connections
from function_app.azure.storage import StorageAccount
from function_app.domain import incoming_events, naming
from function_app.domain.cloud_events import Publisher
from function_app.domain.document import Document
from function_app.domain.receipt import Receipt
from function_app.drops.archives import ScriptArchives
from function_app.drops.intake import Intake, SettleRequest
from function_app.drops.planning import Planner
from function_app.drops.settling import Settler
from function_app.drops.uploads import Uploads
from function_app.errors import InvalidEvent, KedjaError
from function_app.jobs.job_queue import SubmitRequest, Turns
from function_app.jobs.missing_jobs import MissingJobs
from function_app.jobs.node_wait import MissingNodes
from function_app.jobs.slots import Admission, Limits
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobs.tracking import LookRequest, Watcher
from function_app.models.artifacts import Artifacts
from function_app.models.champion import Champions
from function_app.models.deletion import Remover
from function_app.models.ownership import Owners
from function_app.models.registration import Registrar
from function_app.operations.approvals import ApprovedRequest, Approver
from function_app.operations.experiments import Experiments
from function_app.operations.housekeeping import Housekeeping
from function_app.operations.ingest import Entrance
from function_app.operations.job_commands import Jobs
from function_app.operations.poison import PoisonCabinet
from function_app.operations.reconciliation import Reconciler
from function_app.operations.retention import Retention
from function_app.operations.stale_markers import StaleMarkers
from function_app.operations.training_requests import TrainingRequest, TrainingRequests
from function_app.operations.walk import Walk
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import TrainingService
from function_app.settings import STORAGE, Settings
from function_app.store.approvals import Approvals
from function_app.store.receipts import Clock, Receipts, utc_now
from function_app.store.snapshots import Snapshots

logger = logging.getLogger(__name__)


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

    @classmethod
    def assemble(
        cls,
        settings: Settings,
        *,
        blobs: Blobs,
        queues: Queues,
        training: TrainingService,
        publisher: Publisher,
        account_url: str,
        clock: Clock = utc_now,
    ) -> Self:
        """Put the parts together over the given ports."""
        timing = settings.timing
        receipts = Receipts(blobs, publisher, clock)
        archives, snapshots, champions = ScriptArchives(blobs), Snapshots(blobs), Champions(blobs)
        approvals = Approvals(blobs, required=settings.approvals == "required", clock=clock)
        owners = Owners(blobs=blobs, champions=champions, snapshots=snapshots, training=training, clock=clock)
        planner = Planner(settings=settings, training=training)
        intake = Intake(blobs=blobs, queues=queues, account_url=account_url, quiet_period=settings.quiet_period)
        limits = Limits(per_experiment=settings.max_jobs_per_experiment, in_all=settings.max_jobs)
        turns = Turns(admission=Admission(blobs=blobs, limits=limits), queues=queues, receipts=receipts)
        submitter = Submitter(
            approvals=approvals,
            planner=planner,
            queues=queues,
            receipts=receipts,
            snapshots=snapshots,
            training=training,
            turns=turns,
            timing=timing,
        )
        settler = Settler(
            blobs=blobs,
            intake=intake,
            owners=owners,
            planner=planner,
            receipts=receipts,
            snapshots=snapshots,
            submitter=submitter,
            supersession=Supersession(receipts=receipts, training=training, turns=turns),
            archives=archives,
            approvals=approvals,
            uploads=Uploads(blobs=blobs, clock=clock),
            timing=timing,
        )
        remover = Remover(blobs=blobs, champions=champions, training=training)
        registrar = Registrar(
            artifacts=Artifacts(blobs=blobs, max_runtime=timing.max_copy_runtime),
            blobs=blobs,
            champions=champions,
            owners=owners,
            receipts=receipts,
            remover=remover,
            snapshots=snapshots,
            training=training,
            timing=timing,
        )
        watcher = Watcher(
            blobs=blobs,
            missing=MissingJobs(receipts=receipts, training=training, timing=timing),
            queues=queues,
            receipts=receipts,
            registrar=registrar,
            submitter=submitter,
            training=training,
            turns=turns,
            max_preemptions=settings.max_preemptions,
            timing=timing,
        )
        approver = Approver(
            approvals=approvals,
            archives=archives,
            blobs=blobs,
            queues=queues,
            receipts=receipts,
            settler=settler,
            snapshots=snapshots,
            timing=timing,
        )
        jobs = Jobs(
            approvals=approvals,
            archives=archives,
            blobs=blobs,
            planner=planner,
            receipts=receipts,
            settler=settler,
            snapshots=snapshots,
            submitter=submitter,
        )
        requests = TrainingRequests(blobs=blobs, jobs=jobs, queues=queues, clock=clock, timing=timing)
        experiments = Experiments(
            blobs=blobs, jobs=jobs, receipts=receipts, remover=remover, training=training, timing=timing
        )
        return cls(
            settings=settings,
            blobs=blobs,
            queues=queues,
            training=training,
            receipts=receipts,
            intake=intake,
            settler=settler,
            submitter=submitter,
            watcher=watcher,
            reconciler=Reconciler(
                blobs=blobs,
                intake=intake,
                receipts=receipts,
                submitter=submitter,
                supersession=settler.supersession,
                training=training,
                turns=turns,
                missing_nodes=MissingNodes(receipts=receipts, training=training, deadline=settings.start_deadline),
                watcher=watcher,
                approver=approver,
                markers=StaleMarkers(blobs=blobs, intake=intake, clock=clock),
                timing=timing,
            ),
            walk=Walk(blobs=blobs, intake=intake, receipts=receipts, timing=timing),
            housekeeping=Housekeeping(
                experiments=experiments,
                retention=Retention(
                    blobs=blobs, receipts=receipts, remover=remover, settings=settings, training=training
                ),
                timing=timing,
                clock=clock,
            ),
            jobs=jobs,
            requests=requests,
            entrance=Entrance(queues=queues, requests=requests),
            experiments=experiments,
            champions=champions,
            owners=owners,
            poison=PoisonCabinet(blobs=blobs, receipts=receipts, requests=requests),
            approver=approver,
        )

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Self:
        """Connect to what the environment names.

        Raises:
            InvalidSettings: where something is missing or wrong, with its name.
        """
        settings = Settings.read(environ)
        credential = None if environ.get(STORAGE) else connections.credential(settings)
        account = StorageAccount.connect(environ, credential, prefix=STORAGE, timing=settings.timing)
        account_url = account.blobs.client.url.rstrip("/")
        return cls.assemble(
            settings,
            blobs=account.blobs,
            queues=account.queues,
            training=connections.training(settings, environ),
            publisher=connections.publisher(settings, credential, account_url),
            account_url=account_url,
        )

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

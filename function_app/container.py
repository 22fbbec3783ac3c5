"""The container: assembles the service from the storage, the training service and the topic that settings name."""

from collections.abc import Mapping
from functools import cached_property
from typing import Unpack

from attrs import frozen

from function_app.azure import connections
from function_app.domain.cloud_events import Publisher
from function_app.drops.archives import ScriptArchives
from function_app.drops.drop_receipts import DropReceipts
from function_app.drops.intake import Intake
from function_app.drops.planning import Planner
from function_app.drops.settling import Settler
from function_app.drops.uploads import Uploads
from function_app.jobs.job_queue import JobQueue
from function_app.jobs.missing_jobs import MissingJobs
from function_app.jobs.node_wait import NodeWaitNotifier
from function_app.jobs.slots import Limits, SlotPool
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobs.tracking import JobTracker
from function_app.models.artifacts import Artifacts
from function_app.models.champion import Champions
from function_app.models.deletion import Deleter
from function_app.models.ownership import Owners
from function_app.models.registration import Registrar
from function_app.operations.approvals import ApprovalService
from function_app.operations.experiments import Experiments
from function_app.operations.housekeeping import Housekeeping
from function_app.operations.ingest import EventIngest
from function_app.operations.job_commands import JobCommands
from function_app.operations.poison import PoisonStore
from function_app.operations.reconciliation import Reconciler
from function_app.operations.retention import Retention
from function_app.operations.service import Kedja
from function_app.operations.stale_markers import StaleMarkers
from function_app.operations.training_requests import TrainingRequests
from function_app.operations.walk import Walk
from function_app.ports.clock import Clock, utc_now
from function_app.ports.storage import Blobs, Queues
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings
from function_app.store.approvals import Approvals
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots
from function_app.timing import Timing


def assemble(settings: Settings, **ports: Unpack[connections.Ports]) -> Kedja:
    """Return the service over the given ports."""
    return _Parts(settings=settings, **ports).kedja


def connect(environ: Mapping[str, str]) -> Kedja:
    """Return the service, connected to the resources that the environment names.

    Raises:
        InvalidSettings: a setting is missing or wrong; the message names it.
    """
    settings = Settings.read(environ)
    return assemble(settings, **connections.connect(settings, environ))


@frozen(kw_only=True, slots=False)  # cached properties do not work with slots
class _Parts:
    """The parts of the service, each created when another part first needs it."""

    settings: Settings
    blobs: Blobs
    queues: Queues
    training: TrainingService
    publisher: Publisher
    account_url: str
    clock: Clock = utc_now

    @cached_property
    def timing(self) -> Timing:
        return self.settings.timing

    @cached_property
    def receipts(self) -> Receipts:
        return Receipts(self.blobs, self.publisher, self.clock)

    @cached_property
    def approvals(self) -> Approvals:
        return Approvals(self.blobs, required=self.settings.approvals == "required", clock=self.clock)

    @cached_property
    def owners(self) -> Owners:
        return Owners(
            blobs=self.blobs,
            champions=Champions(self.blobs),
            snapshots=Snapshots(self.blobs),
            training=self.training,
            clock=self.clock,
        )

    @cached_property
    def planner(self) -> Planner:
        return Planner(settings=self.settings, training=self.training)

    @cached_property
    def intake(self) -> Intake:
        return Intake(
            blobs=self.blobs, queues=self.queues, account_url=self.account_url, quiet_period=self.settings.quiet_period
        )

    @cached_property
    def job_queue(self) -> JobQueue:
        return JobQueue(
            slots=SlotPool(
                blobs=self.blobs,
                limits=Limits(per_experiment=self.settings.max_jobs_per_experiment, in_all=self.settings.max_jobs),
            ),
            clock=self.clock,
            queues=self.queues,
            receipts=self.receipts,
        )

    @cached_property
    def supersession(self) -> Supersession:
        return Supersession(clock=self.clock, receipts=self.receipts, training=self.training, job_queue=self.job_queue)

    @cached_property
    def submitter(self) -> Submitter:
        return Submitter(
            approvals=self.approvals,
            clock=self.clock,
            queues=self.queues,
            receipts=self.receipts,
            settings=self.settings,
            snapshots=Snapshots(self.blobs),
            training=self.training,
            job_queue=self.job_queue,
            timing=self.timing,
        )

    @cached_property
    def settler(self) -> Settler:
        return Settler(
            blobs=self.blobs,
            clock=self.clock,
            drop_receipts=DropReceipts(
                archives=ScriptArchives(self.blobs),
                blobs=self.blobs,
                clock=self.clock,
                receipts=self.receipts,
                snapshots=Snapshots(self.blobs),
                submitter=self.submitter,
                uploads=Uploads(blobs=self.blobs, clock=self.clock),
            ),
            intake=self.intake,
            owners=self.owners,
            planner=self.planner,
            receipts=self.receipts,
            submitter=self.submitter,
            supersession=self.supersession,
            archives=ScriptArchives(self.blobs),
            approvals=self.approvals,
            timing=self.timing,
        )

    @cached_property
    def deleter(self) -> Deleter:
        return Deleter(blobs=self.blobs, champions=Champions(self.blobs), training=self.training)

    @cached_property
    def registrar(self) -> Registrar:
        return Registrar(
            artifacts=Artifacts(blobs=self.blobs, max_runtime=self.timing.max_copy_runtime),
            blobs=self.blobs,
            champions=Champions(self.blobs),
            clock=self.clock,
            owners=self.owners,
            receipts=self.receipts,
            deleter=self.deleter,
            snapshots=Snapshots(self.blobs),
            training=self.training,
            timing=self.timing,
        )

    @cached_property
    def tracker(self) -> JobTracker:
        return JobTracker(
            blobs=self.blobs,
            clock=self.clock,
            missing_jobs=MissingJobs(
                clock=self.clock, receipts=self.receipts, training=self.training, timing=self.timing
            ),
            queues=self.queues,
            receipts=self.receipts,
            registrar=self.registrar,
            submitter=self.submitter,
            training=self.training,
            job_queue=self.job_queue,
            max_preemptions=self.settings.max_preemptions,
            timing=self.timing,
        )

    @cached_property
    def approval_service(self) -> ApprovalService:
        return ApprovalService(
            approvals=self.approvals,
            archives=ScriptArchives(self.blobs),
            blobs=self.blobs,
            clock=self.clock,
            queues=self.queues,
            receipts=self.receipts,
            settler=self.settler,
            snapshots=Snapshots(self.blobs),
            timing=self.timing,
        )

    @cached_property
    def job_commands(self) -> JobCommands:
        return JobCommands(
            approvals=self.approvals,
            archives=ScriptArchives(self.blobs),
            blobs=self.blobs,
            clock=self.clock,
            planner=self.planner,
            receipts=self.receipts,
            settler=self.settler,
            snapshots=Snapshots(self.blobs),
            submitter=self.submitter,
        )

    @cached_property
    def training_requests(self) -> TrainingRequests:
        return TrainingRequests(
            blobs=self.blobs, job_commands=self.job_commands, queues=self.queues, clock=self.clock, timing=self.timing
        )

    @cached_property
    def experiments(self) -> Experiments:
        return Experiments(
            blobs=self.blobs,
            clock=self.clock,
            job_commands=self.job_commands,
            receipts=self.receipts,
            deleter=self.deleter,
            training=self.training,
            timing=self.timing,
        )

    @cached_property
    def reconciler(self) -> Reconciler:
        return Reconciler(
            blobs=self.blobs,
            clock=self.clock,
            intake=self.intake,
            receipts=self.receipts,
            submitter=self.submitter,
            supersession=self.supersession,
            training=self.training,
            job_queue=self.job_queue,
            node_wait_notifier=NodeWaitNotifier(
                clock=self.clock, receipts=self.receipts, training=self.training, deadline=self.settings.start_deadline
            ),
            tracker=self.tracker,
            approval_service=self.approval_service,
            stale_markers=StaleMarkers(blobs=self.blobs, intake=self.intake, clock=self.clock),
            timing=self.timing,
        )

    @cached_property
    def walk(self) -> Walk:
        return Walk(blobs=self.blobs, clock=self.clock, intake=self.intake, receipts=self.receipts, timing=self.timing)

    @cached_property
    def housekeeping(self) -> Housekeeping:
        return Housekeeping(
            experiments=self.experiments,
            retention=Retention(
                blobs=self.blobs,
                clock=self.clock,
                receipts=self.receipts,
                deleter=self.deleter,
                settings=self.settings,
                training=self.training,
            ),
            timing=self.timing,
            clock=self.clock,
        )

    @cached_property
    def kedja(self) -> Kedja:
        return Kedja(
            settings=self.settings,
            clock=self.clock,
            blobs=self.blobs,
            queues=self.queues,
            training=self.training,
            receipts=self.receipts,
            intake=self.intake,
            settler=self.settler,
            submitter=self.submitter,
            tracker=self.tracker,
            reconciler=self.reconciler,
            walk=self.walk,
            housekeeping=self.housekeeping,
            job_commands=self.job_commands,
            training_requests=self.training_requests,
            event_ingest=EventIngest(queues=self.queues, training_requests=self.training_requests),
            experiments=self.experiments,
            champions=Champions(self.blobs),
            owners=self.owners,
            poison=PoisonStore(
                blobs=self.blobs, clock=self.clock, receipts=self.receipts, training_requests=self.training_requests
            ),
            approval_service=self.approval_service,
        )

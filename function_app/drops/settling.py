"""Settling: when a folder has been quiet long enough, process its files as one drop, up to submitting its job."""

import functools
import logging
from datetime import timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.domain.messages import SettleMessage
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import Receipt, Status, WaitingFor
from function_app.domain.receipt_transitions import (
    drop_order,
    next_attempt_reason,
)
from function_app.drops import deferral, root_files
from function_app.drops.archives import ScriptArchives
from function_app.drops.drop_receipts import DropReceipts
from function_app.drops.intake import Intake
from function_app.drops.job_yaml import DroppedSpecs, canonical_of_invalid
from function_app.drops.planning import Planner
from function_app.drops.scripts.checks import ScriptChecks
from function_app.errors import Refused, TrainingServiceUnavailable
from function_app.jobs import outage
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec
from function_app.models.ownership import Owners
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs
from function_app.store.approvals import Approvals, PendingApproval
from function_app.store.deletions import check_not_deleting, deleted_until
from function_app.store.latest_drop import LatestDrop
from function_app.store.receipts import Receipts
from function_app.timing import Timing

logger = logging.getLogger(__name__)


class NoNewFiles(Refused):
    """Nothing was written since the experiment's latest drop."""


@frozen(kw_only=True)
class Settler:
    """Settles folders and processes drops."""

    blobs: Blobs
    clock: Clock
    drop_receipts: DropReceipts
    intake: Intake
    owners: Owners
    planner: Planner
    receipts: Receipts
    submitter: Submitter
    supersession: Supersession
    archives: ScriptArchives
    approvals: Approvals
    timing: Timing

    def settle(self, request: SettleMessage, *, message: str) -> Receipt | None:
        """Process the folder as a drop if it is quiet, else postpone the request.

        The marker is deleted first: a later file creates a new marker, and an earlier file is in the listing.
        """
        request = self.intake.consume_marker(request)
        if self.blobs.get(naming.RECEIPTS, naming.PAUSED_BLOB) is not None:
            # The time of the pause does not count as waiting for files.
            paused = request.replace(since=None)
            self.intake.postpone(paused, message=message, delay=self.timing.paused_check)
            return None
        if request.experiment == naming.ROOT_EXPERIMENT:
            return self._reject_root_file(request)
        try:
            drop = self.archives.expand(Drop.list_drop(self.blobs, request.folder))
            if drop.is_empty:
                return None
            spec = self.spec(drop)
            if self._must_wait(drop, spec, request):
                delay = max(1.0, drop.seconds_until_quiet(self.intake.quiet_period))
                self.intake.postpone(request, message=message, delay=delay)
                return None
            return self._process_during_outage(drop, spec, request)
        except NoNewFiles as nothing:
            logger.info("%s", nothing)
        except deferral.TRANSIENT_ERRORS as reason:
            logger.info("%s", reason)
            delay = deferral.retry_delay(reason, request.tries, of=request.marker, timing=self.timing)
            self.intake.postpone(request.replace(tries=request.tries + 1), message=message, delay=delay)
        return None

    def _process_during_outage(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleMessage) -> Receipt:
        """Process the drop; if the training service stays unavailable, record that on the receipt."""
        try:
            return self.process_drop(drop, spec, trigger=request.trigger, asked=False)
        except TrainingServiceUnavailable as error:
            if isinstance(spec, InvalidJobSpec) or not request.tries:
                raise
            subject = self.planner.effective_drop(drop, spec)
            receipt = self.receipts.find(subject.ref(spec.canonical()))
            plan = outage.plan(subject, receipt, self.clock(), error, self.timing)
            if plan is None:
                raise
            told = self.process_drop(drop, spec, trigger=request.trigger, asked=False, plan=plan)
            if isinstance(plan, WaitingPlan):
                raise
            return told

    def _must_wait(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleMessage) -> bool:
        if not drop.seconds_until_quiet(self.intake.quiet_period):
            return False
        asked = None if isinstance(spec, InvalidJobSpec) else spec.kedja.drop.max_wait
        limit = self.planner.settings.max_wait if asked is None else asked
        return request.since is None or drop.now - request.since < timedelta(seconds=limit)

    def spec(self, drop: Drop) -> JobSpec | InvalidJobSpec:
        """Return the job spec of job.yaml, or its errors."""
        return self._specs.of(drop)

    def with_files(self, drop: Drop, spec: JobSpec) -> JobSpec:
        """Return the spec with the content of the files that it names. Raise InvalidJobSpec if a file is missing."""
        return self._specs.with_files(drop, spec)

    @property
    def scripts(self) -> ScriptChecks:
        """The checks of the scripts of drops that are ready."""
        return ScriptChecks(self.archives)

    @property
    def _specs(self) -> DroppedSpecs:
        return DroppedSpecs(archives=self.archives, blobs=self.blobs)

    def process_drop(
        self,
        drop: Drop,
        spec: JobSpec | InvalidJobSpec,
        *,
        trigger: str,
        asked: bool = True,
        force: str | None = None,
        strict: bool = False,
        plan: Plan | None = None,
    ) -> Receipt:
        """Plan a drop, write its receipt, and submit its job if it is ready.

        Safe to repeat and to run concurrently: the receipt's conditional writes let only one caller claim an attempt.
        `asked`: a caller requested this; otherwise, a drop from which files were only deleted is not processed. `plan`
        is the plan, if it is already known. `strict` raises ModelNotShared instead of rejecting the drop. `force`
        identifies a request that forces one attempt; the attempt records it, so that it is not claimed again.

        Raises:
            NoNewFiles: nothing was written since the experiment's latest drop, and no caller requested this.
            SourceChanged, CopyPending, ReceiptBusy: try again later.
        """
        check_not_deleting(self.blobs, drop.experiment)
        if isinstance(spec, InvalidJobSpec):
            plan = RejectedPlan(drop=drop, reason=str(spec), what_to_do="Fix job.yaml and drop it again.")
            canonical, spec = canonical_of_invalid(drop), JobSpec()
        else:
            plan, canonical = plan or self.planner.plan(drop, spec), spec.canonical()
        ref = plan.drop.ref(canonical)
        latest = functools.cache(functools.partial(self.receipts.latest, drop.experiment))
        receipt = self.receipts.find(ref)
        if receipt is None and not asked:
            self._check_that_something_came(drop, latest())
        newest = plan.drop.newest or drop.now
        is_new = receipt is None or next_attempt_reason(receipt, newest, force=force, at=self.clock())
        if is_new:
            plan = self.scripts.check(plan, spec)
        code = self.approvals.digest(plan.drop, spec) if isinstance(plan, ReadyPlan) else None
        plan = self._hold_for_approval(plan, code, ref)
        if is_new:
            plan = self.owners.planned(plan, spec.kedja.registration, strict=strict)
        describe = functools.partial(self.drop_receipts.described, plan, spec, ref, code, (drop, latest))
        if receipt is None:
            receipt = self.drop_receipts.create(plan, spec, ref, trigger, describe, force=force)
        else:
            receipt = self.drop_receipts.update(receipt, plan, spec, ref, trigger, force=force, describe=describe)
        if receipt.outbox or receipt.status is Status.SUBMITTING or outage.needs_polling(receipt):
            self.receipts.set_open_mark(receipt.ref)
        receipt = self.supersession.promote_to_latest(receipt, supersede=spec.kedja.drop.supersede)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        if outage.waits_for_event(receipt):
            return self.receipts.park(receipt, outage.waits_for_event)
        return self.receipts.publish_outbox(receipt)

    def ref(self, drop: Drop, spec: JobSpec) -> DropRef:
        """Return what a drop is known by with a job spec."""
        return self.planner.plan(drop, spec).drop.ref(spec.canonical())

    def _hold_for_approval(self, plan: Plan, code: str | None, ref: DropRef) -> Plan:
        """Return the plan, or a waiting plan if its code needs an approval and has none."""
        drop = plan.drop
        if code is None or self.approvals.check_or_note(PendingApproval(digest=code, ref=ref)):
            return plan
        what_to_do = (
            f"Ask someone who may run code to review the scripts and approve the digest {code}: POST /api/approvals "
            f'{{"digest": "{code}"}}. The drop then continues immediately.'
        )
        return WaitingPlan(
            drop=drop,
            what=f"approval of {code}",
            what_to_do=what_to_do,
            waiting_for=WaitingFor.APPROVAL,
            digest=code,
        )

    def _check_that_something_came(self, drop: Drop, latest: LatestDrop | None) -> None:
        # Files written before the second of the latest listing were in it.
        known = latest.known if latest else deleted_until(self.blobs, drop.experiment)
        if known is not None and (drop.newest is None or drop_order(drop.newest) < known):
            raise NoNewFiles(
                f"{drop.folder} has no new files: files or receipts were only deleted. That is not a drop."
            )

    def _reject_root_file(self, request: SettleMessage) -> Receipt | None:
        """Reject a file that was dropped outside of any folder; return its receipt."""
        plan = root_files.reject_root_file(self.blobs, request.folder, now=self.clock())
        if plan is None:
            return None
        spec, ref = JobSpec(), plan.drop.ref("outside of any experiment")
        describe = functools.partial(self.drop_receipts.described, plan, spec, ref, None, None)
        receipt = self.drop_receipts.create(plan, spec, ref, request.trigger, describe)
        self.receipts.set_open_mark(receipt.ref)
        return self.receipts.publish_outbox(receipt)

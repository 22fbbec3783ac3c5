"""Settling: when a folder has been quiet long enough, process its files as one drop, up to submitting its job."""

import functools
import logging
from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import DropContents, Receipt, Status, WaitingFor
from function_app.domain.receipt_transitions import (
    claim_attempt,
    drop_order,
    next_attempt_reason,
    with_listing,
    with_plan,
    with_repeat,
)
from function_app.drops import deferral, root_files
from function_app.drops.archives import ScriptArchives
from function_app.drops.intake import Intake, SettleMessage
from function_app.drops.job_yaml import DroppedSpecs, canonical_of_invalid
from function_app.drops.planning import Planner
from function_app.drops.uploaders import UploadRecords, uploaded_by
from function_app.errors import KedjaError, TrainingServiceUnavailable
from function_app.jobs import outage
from function_app.jobs.submission import Submitter
from function_app.jobs.supersession import Supersession
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec
from function_app.models.deletion import attempts_before
from function_app.models.ownership import Owners
from function_app.ports.storage import Blobs
from function_app.store.approvals import Approvals, PendingApproval
from function_app.store.deletions import check_not_deleting, deleted_until
from function_app.store.latest_drop import LatestDrop
from function_app.store.receipts import ReceiptBusy, Receipts
from function_app.store.snapshots import Snapshots
from function_app.timing import Timing

logger = logging.getLogger(__name__)


class NoNewFiles(KedjaError):
    """Nothing was written since the experiment's latest drop."""


ManifestWriter = Callable[[], DropContents]
"""Writes a drop's manifest, and returns its summary for the receipt."""
Whole = tuple[Drop, Callable[[], LatestDrop | None]]
"""All files of the folder, used or not, and a function that returns the experiment's previous latest drop."""


@frozen(kw_only=True)
class Settler:
    """Settles folders and processes drops."""

    blobs: Blobs
    intake: Intake
    owners: Owners
    planner: Planner
    receipts: Receipts
    snapshots: Snapshots
    submitter: Submitter
    supersession: Supersession
    archives: ScriptArchives
    approvals: Approvals
    uploads: UploadRecords
    timing: Timing

    def settle(self, request: SettleMessage, *, message: str) -> Receipt | None:
        """Process the folder as a drop if it is quiet, else postpone the request.

        The marker is deleted first: a later file creates a new marker, and an earlier file is in the listing.
        """
        request = self.intake.consume_marker(request)
        if self.blobs.get(naming.RECEIPTS, naming.PAUSED_BLOB) is not None:
            # The time of the pause does not count as waiting for files.
            paused = request.model_copy(update={"since": None})
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
            self.intake.postpone(request.model_copy(update={"tries": request.tries + 1}), message=message, delay=delay)
        return None

    def _process_during_outage(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleMessage) -> Receipt:
        """Process the drop; if the training service stays unavailable, record that on the receipt."""
        try:
            return self.process_drop(drop, spec, trigger=request.trigger, asked=False)
        except TrainingServiceUnavailable as error:
            if isinstance(spec, InvalidJobSpec) or not request.tries:
                raise
            subject = self.planner.effective_drop(drop, spec)
            receipt = self.receipts.find(drop.experiment, subject.id(spec.canonical()))
            plan = outage.plan(subject, receipt, self.receipts.clock(), error, self.timing)
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
        drop_id = plan.drop.id(canonical)
        code = self.approvals.digest(plan.drop, spec) if isinstance(plan, ReadyPlan) else None
        plan = self._hold_for_approval(plan, code, drop_id)
        latest = functools.cache(functools.partial(self.receipts.latest, drop.experiment))
        receipt = self.receipts.find(drop.experiment, drop_id)
        if receipt is None and not asked:
            self._check_that_something_came(drop, latest())
        if receipt is None or next_attempt_reason(
            receipt, plan.drop.newest or drop.now, force=force, at=self.receipts.clock()
        ):
            plan = self.owners.planned(plan, spec.kedja.registration, strict=strict)
        describe = functools.partial(self._described, plan, spec, drop_id, code, (drop, latest))
        if receipt is None:
            receipt = self._create_receipt(plan, spec, drop_id, trigger, describe, force=force)
        else:
            receipt = self._update_receipt(receipt, plan, spec, drop_id, trigger, force=force, describe=describe)
        if receipt.outbox or receipt.status is Status.SUBMITTING or outage.needs_polling(receipt):
            self.receipts.set_open_mark(receipt.experiment, receipt.drop)
        receipt = self.supersession.promote_to_latest(receipt, supersede=spec.kedja.drop.supersede)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        if outage.waits_for_event(receipt):
            return self.receipts.park(receipt, outage.waits_for_event)
        return self.receipts.publish_outbox(receipt)

    def drop_id(self, drop: Drop, spec: JobSpec) -> str:
        """Return the id that a drop has with a job spec."""
        return self.planner.plan(drop, spec).drop.id(spec.canonical())

    def _hold_for_approval(self, plan: Plan, code: str | None, drop_id: str) -> Plan:
        """Return the plan, or a waiting plan if its code needs an approval and has none."""
        drop = plan.drop
        if code is None or self.approvals.check_or_note(
            PendingApproval(digest=code, experiment=drop.experiment, drop=drop_id)
        ):
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

    def _create_receipt(
        self,
        plan: Plan,
        spec: JobSpec,
        drop_id: str,
        trigger: str,
        describe: ManifestWriter,
        *,
        force: str | None = None,
    ) -> Receipt:
        """Write the receipt of new content, with its first attempt if the drop is ready."""
        drop = plan.drop
        self.snapshots.save_spec(drop, drop_id, spec)
        received = describe()
        now = self.receipts.clock()
        receipt = Receipt(
            experiment=drop.experiment,
            folder=drop.folder,
            drop=drop_id,
            sequence=drop_order(drop.now),
            listed=drop_order(drop.now),
            status=Status.WAITING,
            received_at=now,
            updated_at=now,
            newest_upload=drop.newest or drop.now,
            trigger=trigger,
            uploaded_by=uploaded_by(drop, self.uploads.latest_links(drop.experiment)),
            received=received,
            attempts_before=attempts_before(self.blobs, drop.experiment, drop_id),
        )
        if isinstance(plan, ReadyPlan):
            self._keep_scripts(drop, drop_id)
        # Before the receipt, so that `reconcile` finds it if this is killed; `process_drop` sets it again later.
        self.receipts.set_open_mark(receipt.experiment, receipt.drop)
        if isinstance(plan, ReadyPlan):
            receipt = receipt.with_(spec=self.submitter.redacted_document(plan, spec, drop_id))
            options = spec.kedja.attempt_options
            return self.receipts.create(claim_attempt(receipt, "first drop", drop, now, options, request=force))
        return self.receipts.create(with_plan(receipt, plan, now))

    def _described(
        self, plan: Plan, spec: JobSpec, drop_id: str, code: str | None, whole: Whole | None
    ) -> DropContents:
        """Write the manifest; return its summary for the receipt. `whole` has all files of the folder, used or not."""
        marker = spec.kedja.drop.wait_for
        received = self.snapshots.write_manifest(
            plan.drop,
            drop_id,
            entry_script=plan.entry_script if isinstance(plan, ReadyPlan) else None,
            ignored=[marker] if marker else [],
        )
        drop, latest = (whole[0], whole[1]()) if whole else (None, None)
        gone = self.snapshots.missing_files(latest.drop, drop) if drop and latest and latest.drop != drop_id else None
        return received.model_copy(update={"code_sha256": code, "gone": gone})

    def _keep_scripts(self, drop: Drop, drop_id: str) -> None:
        self.snapshots.copy_scripts(drop, drop_id)
        self.archives.unpack(drop, drop_id)

    def _update_receipt(
        self,
        receipt: Receipt,
        plan: Plan,
        spec: JobSpec,
        drop_id: str,
        trigger: str,
        *,
        force: str | None,
        describe: ManifestWriter,
    ) -> Receipt:
        """Update the receipt of known content: claim the next attempt if it needs one, else record the repeat."""
        drop, now = plan.drop, self.receipts.clock()
        newest = drop.newest or drop.now

        if receipt.status is Status.CANCELING and newest > receipt.newest_upload:
            raise ReceiptBusy(f"{receipt.name} was dropped again while its job is being canceled. Try again later.")
        if isinstance(plan, ReadyPlan) and next_attempt_reason(receipt, newest, force=force, at=now):
            # Snapshots of waiting drops are never deleted; others may be deleted before their receipt records it.
            self.snapshots.save_spec(drop, drop_id, spec, known=receipt.status is Status.WAITING)
            described = describe()
            came_from = uploaded_by(drop, self.uploads.latest_links(drop.experiment))
            shown = self.submitter.redacted_document(plan, spec, drop_id)
            self._keep_scripts(drop, drop_id)
            self.receipts.set_open_mark(receipt.experiment, receipt.drop)

            def claim_once(current: Receipt) -> Receipt:
                why = next_attempt_reason(current, newest, force=force, at=now)
                if why is None:
                    return current
                _check_snapshot(current, receipt)
                claimed = claim_attempt(current, why, drop, now, spec.kedja.attempt_options, request=force)
                return claimed.with_(received=described, uploaded_by=came_from, spec=shown)

            return self.receipts.change(receipt, claim_once)
        answerable = receipt.status in (Status.WAITING, Status.REJECTED) or (
            receipt.status is Status.SUPERSEDED and newest > receipt.newest_upload
        )
        if not isinstance(plan, ReadyPlan) and answerable and not receipt.attempts:
            answer = functools.partial(_named, plan=plan)
            self.receipts.set_open_mark(receipt.experiment, receipt.drop)
            written = self.receipts.change(
                receipt, lambda current: answer(with_listing(with_plan(current, plan, now), drop))
            )
            self.receipts.write_index(written)  # a call that was killed may have written the receipt but not its index
            return written
        if (
            isinstance(plan, WaitingPlan)
            and plan.waiting_for is WaitingFor.COMPUTE
            and next_attempt_reason(receipt, newest, force=force, at=now)
        ):
            raise TrainingServiceUnavailable(f"{receipt.name} was dropped again, but the {plan.what} does not exist.")
        refused = (
            plan.reason
            if isinstance(plan, RejectedPlan) and next_attempt_reason(receipt, newest, force=force, at=now)
            else None
        )
        return self.receipts.change(receipt, lambda current: with_repeat(current, trigger, drop, now, refused=refused))

    def _reject_root_file(self, request: SettleMessage) -> Receipt | None:
        """Reject a file that was dropped outside of any folder; return its receipt."""
        plan = root_files.reject_root_file(self.blobs, request.folder, now=self.receipts.clock())
        if plan is None:
            return None
        spec, drop_id = JobSpec(), plan.drop.id("outside of any experiment")
        describe = functools.partial(self._described, plan, spec, drop_id, None, None)
        receipt = self._create_receipt(plan, spec, drop_id, request.trigger, describe)
        self.receipts.set_open_mark(receipt.experiment, receipt.drop)
        return self.receipts.publish_outbox(receipt)


def _named(receipt: Receipt, plan: Plan) -> Receipt:
    """Return the receipt with the digest that it waits for, which may have changed with the ETag of a large script."""
    if not isinstance(plan, WaitingPlan) or plan.digest is None:
        return receipt
    return receipt.with_(received=receipt.received.model_copy(update={"code_sha256": plan.digest}))


def _check_snapshot(current: Receipt, read: Receipt) -> None:
    """Raise ReceiptBusy if the snapshot was deleted while it was being written again."""
    if current.forgotten != read.forgotten:
        raise ReceiptBusy(f"The snapshot of {read.name} has expired and was just deleted. Try again.")

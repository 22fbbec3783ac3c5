"""Settling: when a folder has come to rest, take it as one drop, decide what becomes of it, and see to that."""

import functools
import logging
from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, Ready, Rejected, Waiting
from function_app.domain.receipt import Receipt, Received, Status
from function_app.domain.receipt_transitions import answered, claim, repeated, seen, sequence, wanted
from function_app.drops import deferral, root_files
from function_app.drops.archives import ScriptArchives
from function_app.drops.intake import Intake, SettleRequest
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
from function_app.store.approvals import REASON, Approvals, Pending
from function_app.store.deletions import check_not_deleting, deleted_before
from function_app.store.latest_drop import Latest
from function_app.store.receipts import ReceiptBusy, Receipts
from function_app.store.snapshots import Snapshots
from function_app.timing import Timing

logger = logging.getLogger(__name__)


class NothingNew(KedjaError):
    """Nothing was written since the experiment's latest drop."""


Describe = Callable[[], Received]
"""Writes a drop's manifest, and returns what the receipt says of it."""
Whole = tuple[Drop, Callable[[], Latest | None]]
"""All that is in the folder, used or not, and what returns the experiment's latest drop before this one."""


@frozen(kw_only=True)
class Settler:
    """Takes drops."""

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

    def settle(self, request: SettleRequest, *, message: str) -> Receipt | None:
        """Take the folder as a drop if it has come to rest, else look again later.

        The marker goes first: a file that comes after that makes a new one, and one that came before is listed.
        """
        request = self.intake.take(request)
        if self.blobs.get(naming.RECEIPTS, naming.PAUSED_BLOB) is not None:
            # The time of the pause is not time that was waited for files.
            paused = request.model_copy(update={"since": None})
            self.intake.postpone(paused, message=message, delay=self.timing.paused_check)
            return None
        if request.experiment == naming.ROOT_EXPERIMENT:
            return self._reject_outsider(request)
        try:
            drop = self.archives.opened(Drop.take(self.blobs, request.folder))
            if drop.is_empty:
                return None
            spec = self.spec(drop)
            if self._must_wait(drop, spec, request):
                delay = max(1.0, drop.seconds_until_quiet(self.intake.quiet_period))
                self.intake.postpone(request, message=message, delay=delay)
                return None
            return self._taken(drop, spec, request)
        except NothingNew as nothing:
            logger.info("%s", nothing)
        except deferral.REASONS as reason:
            logger.info("%s", reason)
            delay = deferral.delay(reason, request.tries, of=request.marker, timing=self.timing)
            self.intake.postpone(request.model_copy(update={"tries": request.tries + 1}), message=message, delay=delay)
        return None

    def _taken(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleRequest) -> Receipt:
        """Take the drop; where the training service does not answer for longer, say so on its receipt."""
        try:
            return self.take(drop, spec, trigger=request.trigger, asked=False)
        except TrainingServiceUnavailable as error:
            if isinstance(spec, InvalidJobSpec) or not request.tries:
                raise
            subject = self.planner.subject(drop, spec)
            receipt = self.receipts.find(drop.experiment, subject.id(spec.canonical()))
            plan = outage.plan(subject, receipt, self.receipts.clock(), error, self.timing)
            if plan is None:
                raise
            told = self.take(drop, spec, trigger=request.trigger, asked=False, plan=plan)
            if isinstance(plan, Waiting):
                raise
            return told

    def _must_wait(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleRequest) -> bool:
        if not drop.seconds_until_quiet(self.intake.quiet_period):
            return False
        asked = None if isinstance(spec, InvalidJobSpec) else spec.kedja.drop.max_wait
        limit = self.planner.settings.max_wait if asked is None else asked
        return request.since is None or drop.now - request.since < timedelta(seconds=limit)

    def spec(self, drop: Drop) -> JobSpec | InvalidJobSpec:
        """Return what job.yaml says, or what is wrong with it."""
        return self._specs.of(drop)

    def with_files(self, drop: Drop, spec: JobSpec) -> JobSpec:
        """Return the spec with the files written out that it names. Raise InvalidJobSpec where one is not there."""
        return self._specs.with_files(drop, spec)

    @property
    def _specs(self) -> DroppedSpecs:
        return DroppedSpecs(archives=self.archives, blobs=self.blobs)

    def take(
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
        """Decide what becomes of a drop, write it on its receipt, and submit the job that it is ready for.

        Safe to repeat, and to run twice at once: the receipt's conditional writes let one caller claim an attempt.
        `asked` says that someone wants it so; else nothing is taken where files only went away. `plan` is what becomes
        of it where that is known already. `strict` raises ModelNotShared instead of rejecting the drop for it. `force`
        identifies a request that wants one attempt in any case: what it claims says so, and is not claimed again.

        Raises:
            NothingNew: where nothing was written since the experiment's latest drop, and it was not asked for.
            ChangedMeanwhile, CopyUnderWay, ReceiptBusy: look again later.
        """
        check_not_deleting(self.blobs, drop.experiment)
        if isinstance(spec, InvalidJobSpec):
            plan = Rejected(drop=drop, reason=str(spec), what_to_do="Fix job.yaml and drop it again.")
            canonical, spec = canonical_of_invalid(drop), JobSpec()
        else:
            plan, canonical = plan or self.planner.plan(drop, spec), spec.canonical()
        drop_id = plan.drop.id(canonical)
        code = self.approvals.digest(plan.drop, spec) if isinstance(plan, Ready) else None
        plan = self._held(plan, code, drop_id)
        latest = functools.cache(functools.partial(self.receipts.latest, drop.experiment))
        receipt = self.receipts.find(drop.experiment, drop_id)
        if receipt is None and not asked:
            self._check_that_something_came(drop, latest())
        if receipt is None or wanted(receipt, plan.drop.newest or drop.now, force=force, at=self.receipts.clock()):
            plan = self.owners.planned(plan, spec.kedja.registration, strict=strict)
        describe = functools.partial(self._described, plan, spec, drop_id, code, (drop, latest))
        if receipt is None:
            receipt = self._first(plan, spec, drop_id, trigger, describe, force=force)
        else:
            receipt = self._again(receipt, plan, spec, drop_id, trigger, force=force, describe=describe)
        if receipt.outbox or receipt.status is Status.SUBMITTING or outage.is_asked_again(receipt):
            self.receipts.open(receipt.experiment, receipt.drop)
        receipt = self.supersession.advance(receipt, supersede=spec.kedja.drop.supersede)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        if outage.only_waits(receipt):
            return self.receipts.let_wait(receipt, outage.only_waits)
        return self.receipts.flush(receipt)

    def id_of(self, drop: Drop, spec: JobSpec) -> str:
        """Return the id that a drop has with a job spec."""
        return self.planner.plan(drop, spec).drop.id(spec.canonical())

    def _held(self, plan: Plan, code: str | None, drop_id: str) -> Plan:
        """Return the plan, or that it waits for an approval of its code where it needs one and has none."""
        drop = plan.drop
        if code is None or self.approvals.admits(Pending(digest=code, experiment=drop.experiment, drop=drop_id)):
            return plan
        what_to_do = (
            f"Have somebody who may run code look at it and approve the digest {code}: POST /api/approvals "
            f'{{"digest": "{code}"}}. The drop goes on at once then.'
        )
        return Waiting(drop=drop, what=f"{REASON}{code}", what_to_do=what_to_do)

    def _check_that_something_came(self, drop: Drop, latest: Latest | None) -> None:
        # Whatever was written before the second of the latest listing was on it.
        known = latest.known if latest else deleted_before(self.blobs, drop.experiment)
        if known is not None and (drop.newest is None or sequence(drop.newest) < known):
            raise NothingNew(f"Files of {drop.folder} (or its receipts) were deleted, and none came. That is no drop.")

    def _first(
        self, plan: Plan, spec: JobSpec, drop_id: str, trigger: str, describe: Describe, *, force: str | None = None
    ) -> Receipt:
        """Write the receipt of content that was never seen before, with its first attempt where it is ready."""
        drop = plan.drop
        self.snapshots.keep_spec(drop, drop_id, spec)
        received = describe()
        now = self.receipts.clock()
        receipt = Receipt(
            experiment=drop.experiment,
            folder=drop.folder,
            drop=drop_id,
            sequence=sequence(drop.now),
            listed=sequence(drop.now),
            status=Status.WAITING,
            received_at=now,
            updated_at=now,
            newest_upload=drop.newest or drop.now,
            trigger=trigger,
            uploaded_by=uploaded_by(drop, self.uploads.of(drop.experiment)),
            received=received,
            attempts_before=attempts_before(self.blobs, drop.experiment, drop_id),
        )
        if isinstance(plan, Ready):
            self._keep_scripts(drop, drop_id)
        # Before the receipt, so that `reconcile` finds it wherever this is killed; and after it, in `take`.
        self.receipts.open(receipt.experiment, receipt.drop)
        if isinstance(plan, Ready):
            receipt = receipt.with_(spec=self.submitter.shown(plan, spec, drop_id))
            options = spec.kedja.attempt_options
            return self.receipts.create(claim(receipt, "first drop", drop, now, options, request=force))
        return self.receipts.create(answered(receipt, plan, now))

    def _described(self, plan: Plan, spec: JobSpec, drop_id: str, code: str | None, whole: Whole | None) -> Received:
        """Write the manifest; return what the receipt says of it. `whole` is all that lies there, used or not."""
        marker = spec.kedja.drop.wait_for
        received = self.snapshots.describe(
            plan.drop,
            drop_id,
            entry_script=plan.entry_script if isinstance(plan, Ready) else None,
            ignored=[marker] if marker else [],
        )
        drop, latest = (whole[0], whole[1]()) if whole else (None, None)
        gone = self.snapshots.gone(latest.drop, drop) if drop and latest and latest.drop != drop_id else None
        return received.model_copy(update={"code_sha256": code, "gone": gone})

    def _keep_scripts(self, drop: Drop, drop_id: str) -> None:
        self.snapshots.copy_scripts(drop, drop_id)
        self.archives.unpack(drop, drop_id)

    def _again(
        self,
        receipt: Receipt,
        plan: Plan,
        spec: JobSpec,
        drop_id: str,
        trigger: str,
        *,
        force: str | None,
        describe: Describe,
    ) -> Receipt:
        """Answer content that has a receipt: submit it where it is its turn, else say which job did it already."""
        drop, now = plan.drop, self.receipts.clock()
        newest = drop.newest or drop.now

        if receipt.status is Status.CANCELING and newest > receipt.newest_upload:
            raise ReceiptBusy(f"{receipt.name} was dropped again while its job is being canceled. Try again later.")
        if isinstance(plan, Ready) and wanted(receipt, newest, force=force, at=now):
            # Of what waits nothing is ever deleted; a snapshot may go before its receipt says so.
            self.snapshots.keep_spec(drop, drop_id, spec, known=receipt.status is Status.WAITING)
            described = describe()
            came_from = uploaded_by(drop, self.uploads.of(drop.experiment))
            shown = self.submitter.shown(plan, spec, drop_id)
            self._keep_scripts(drop, drop_id)
            self.receipts.open(receipt.experiment, receipt.drop)

            def claim_once(current: Receipt) -> Receipt:
                why = wanted(current, newest, force=force, at=now)
                if why is None:
                    return current
                _check_snapshot(current, receipt)
                claimed = claim(current, why, drop, now, spec.kedja.attempt_options, request=force)
                return claimed.with_(received=described, uploaded_by=came_from, spec=shown)

            return self.receipts.change(receipt, claim_once)
        answerable = receipt.status in (Status.WAITING, Status.REJECTED) or (
            receipt.status is Status.SUPERSEDED and newest > receipt.newest_upload
        )
        if not isinstance(plan, Ready) and answerable and not receipt.attempts:
            answer = functools.partial(_named, plan=plan)
            self.receipts.open(receipt.experiment, receipt.drop)
            written = self.receipts.change(receipt, lambda current: answer(seen(answered(current, plan, now), drop)))
            self.receipts.index(written)  # a call that was killed may have written the receipt and not its index
            return written
        if isinstance(plan, Waiting) and outage.is_compute(plan.what) and wanted(receipt, newest, force=force, at=now):
            raise TrainingServiceUnavailable(f"{receipt.name} was dropped again, and there is no {plan.what} now.")
        refused = plan.reason if isinstance(plan, Rejected) and wanted(receipt, newest, force=force, at=now) else None
        return self.receipts.change(receipt, lambda current: repeated(current, trigger, drop, now, refused=refused))

    def _reject_outsider(self, request: SettleRequest) -> Receipt | None:
        """Answer a file that was dropped outside of any folder."""
        plan = root_files.refused(self.blobs, request.folder, now=self.receipts.clock())
        if plan is None:
            return None
        spec, drop_id = JobSpec(), plan.drop.id("outside of any experiment")
        describe = functools.partial(self._described, plan, spec, drop_id, None, None)
        receipt = self._first(plan, spec, drop_id, request.trigger, describe)
        self.receipts.open(receipt.experiment, receipt.drop)
        return self.receipts.flush(receipt)


def _named(receipt: Receipt, plan: Plan) -> Receipt:
    """Return the receipt with the digest that it waits for, which an ETag that counts may have changed."""
    if not isinstance(plan, Waiting) or not plan.what.startswith(REASON):
        return receipt
    digest = plan.what.removeprefix(REASON)
    return receipt.with_(received=receipt.received.model_copy(update={"code_sha256": digest}))


def _check_snapshot(current: Receipt, read: Receipt) -> None:
    """Raise ReceiptBusy where the snapshot was deleted while it was being written again."""
    if current.forgotten != read.forgotten:
        raise ReceiptBusy(f"The snapshot of {read.name} was just deleted, its time being over. Try again.")

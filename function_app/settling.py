"""Settling: when a folder has come to rest, take it as one drop, decide what becomes of it, and see to that."""

import logging
from datetime import timedelta

from attrs import frozen

from function_app import names
from function_app.answer import answered, claim, repeated, seen, sequence
from function_app.drop import Drop
from function_app.errors import BlobNotFound, InvalidJobSpec, KedjaError, TrainingServiceUnavailable
from function_app.intake import Intake, SettleRequest
from function_app.job_spec import JobSpec, parse_job_yaml
from function_app.planning import Plan, Planner, Ready, Rejected, Waiting
from function_app.receipt import FINAL, RETRIED_BY_DROP, Receipt, Received, Status
from function_app.receipts import ReceiptBusy, Receipts
from function_app.snapshot import ChangedMeanwhile, CopyUnderWay, Snapshots
from function_app.storage import Blobs
from function_app.submission import Submitter
from function_app.supersession import Supersession

logger = logging.getLogger(__name__)


class NothingNew(KedjaError):
    """Nothing was written since the experiment's latest drop."""


_LOOK_AGAIN = (ChangedMeanwhile, CopyUnderWay, ReceiptBusy, TrainingServiceUnavailable)

PAUSE_CHECK = 60.0
"""Seconds between two looks at a folder while intake is paused."""
COPY_CHECK = 5.0
UNAVAILABLE_CHECK = 15.0
"""Seconds until the next look where the training service does not answer, or someone else writes the receipt."""
SPEC_LIMIT = 256 * 1024
"""Bytes of job.yaml that are read; the parser refuses a longer one."""


@frozen(kw_only=True)
class Settler:
    """Takes drops."""

    blobs: Blobs
    intake: Intake
    planner: Planner
    receipts: Receipts
    snapshots: Snapshots
    submitter: Submitter
    supersession: Supersession

    def settle(self, request: SettleRequest, *, message: str) -> Receipt | None:
        """Take the folder as a drop if it has come to rest, else look again later.

        The marker goes first: a file that comes after that makes a new one, and one that came before is listed.
        """
        request = self.intake.take(request)
        if self.blobs.get(names.RECEIPTS, names.PAUSED_BLOB) is not None:
            # The time of the pause is not time that was waited for files.
            paused = request.model_copy(update={"since": None})
            self.intake.postpone(paused, message=message, delay=PAUSE_CHECK)
            return None
        if request.experiment == names.ROOT_EXPERIMENT:
            return self._reject_outsider(request)
        drop = Drop.take(self.blobs, request.folder)
        if drop.is_empty:
            return None
        spec = self.spec(drop)
        if self._must_wait(drop, spec, request):
            delay = max(1.0, drop.seconds_until_quiet(self.intake.quiet_period))
            self.intake.postpone(request, message=message, delay=delay)
            return None
        try:
            return self.take(drop, spec, trigger=request.trigger, asked=False)
        except NothingNew as nothing:
            logger.info("%s", nothing)
        except _LOOK_AGAIN as reason:
            logger.info("%s", reason)
            self.intake.postpone(request, message=message, delay=self._delay(reason))
        return None

    def _delay(self, reason: Exception) -> float:
        """Return in how many seconds to look again."""
        if isinstance(reason, CopyUnderWay):
            return COPY_CHECK
        asked = reason.retry_after if isinstance(reason, TrainingServiceUnavailable) else None
        return max(asked or UNAVAILABLE_CHECK, self.intake.quiet_period)

    def _must_wait(self, drop: Drop, spec: JobSpec | InvalidJobSpec, request: SettleRequest) -> bool:
        if not drop.seconds_until_quiet(self.intake.quiet_period):
            return False
        asked = None if isinstance(spec, InvalidJobSpec) else spec.kedja.drop.max_wait
        limit = self.planner.settings.max_wait if asked is None else asked
        return request.since is None or drop.now - request.since < timedelta(seconds=limit)

    def spec(self, drop: Drop) -> JobSpec | InvalidJobSpec:
        """Return what job.yaml says, or what is wrong with it."""
        try:
            if drop.job_yaml is None:
                return JobSpec()
            blob = self.blobs.read(names.SCRIPTS, f"{drop.folder}/{names.JOB_YAML}", limit=SPEC_LIMIT + 1)
            spec = parse_job_yaml(blob.data)
            spec.check_experiment(drop.folder)
            return self.with_files(drop, spec)
        except InvalidJobSpec as error:
            return error
        except BlobNotFound:
            return JobSpec()

    def with_files(self, drop: Drop, spec: JobSpec) -> JobSpec:
        """Return the spec with the files written out that it names. Raise InvalidJobSpec where one is not there."""
        if spec.conda_path is None:
            return spec
        try:
            text = self.blobs.read(names.SCRIPTS, f"{drop.folder}/{spec.conda_path}", limit=SPEC_LIMIT + 1).data
        except BlobNotFound as error:
            raise InvalidJobSpec([f"environment.conda_file: there is no {spec.conda_path} in the drop."]) from error
        return spec.with_conda_file(text)

    def take(
        self,
        drop: Drop,
        spec: JobSpec | InvalidJobSpec,
        *,
        trigger: str,
        asked: bool = True,
        force: bool = False,
    ) -> Receipt:
        """Decide what becomes of a drop, write it on its receipt, and submit the job that it is ready for.

        Safe to repeat, and to run twice at once: the receipt's conditional writes let one caller claim an attempt.
        `asked` says that someone wants it so; else nothing is taken where files only went away.

        Raises:
            NothingNew: where nothing was written since the experiment's latest drop, and it was not asked for.
            ChangedMeanwhile, CopyUnderWay, ReceiptBusy: look again later.
        """
        if isinstance(spec, InvalidJobSpec):
            plan: Plan = Rejected(drop=drop, reason=str(spec), what_to_do="Mend job.yaml and drop it again.")
            canonical = f"invalid job.yaml {drop.job_yaml.identity() if drop.job_yaml else ''}"
            spec = JobSpec()
        else:
            plan, canonical = self.planner.plan(drop, spec), spec.canonical()
        drop_id = plan.drop.id(canonical)
        receipt = self.receipts.find(drop.experiment, drop_id)
        if receipt is None:
            if not asked:
                self._check_that_something_came(drop)
            receipt = self._first(plan, spec, drop_id, trigger)
        else:
            receipt = self._again(receipt, plan, spec, drop_id, trigger, force=force)
        if receipt.outbox or receipt.status is Status.SUBMITTING or _waits_for_compute(plan):
            self.receipts.open(receipt.experiment, receipt.drop)
        receipt = self.supersession.advance(receipt, supersede=spec.kedja.drop.supersede)
        if receipt.status is Status.SUBMITTING:
            return self.submitter.submit(receipt)
        return self.receipts.flush(receipt)

    def _check_that_something_came(self, drop: Drop) -> None:
        latest = self.receipts.latest(drop.experiment)
        # Whatever was written before the second of the latest listing was on it.
        if latest and (drop.newest is None or sequence(drop.newest) < latest.sequence):
            raise NothingNew(f"Files of {drop.folder} were deleted, and none came. That is no drop.")

    def _first(self, plan: Plan, spec: JobSpec, drop_id: str, trigger: str) -> Receipt:
        """Write the receipt of content that was never seen before, with its first attempt where it is ready."""
        drop = plan.drop
        self.snapshots.keep_spec(drop, drop_id, spec)
        received = self._described(plan, spec, drop_id)
        now = self.receipts.clock()
        receipt = Receipt(
            experiment=drop.experiment,
            folder=drop.folder,
            drop=drop_id,
            sequence=sequence(drop.now),
            status=Status.WAITING,
            received_at=now,
            updated_at=now,
            newest_upload=drop.newest or drop.now,
            trigger=trigger,
            received=received,
        )
        if isinstance(plan, Ready):
            self.snapshots.copy_scripts(drop, drop_id)
            # Before the claim, so that `reconcile` finds it wherever this is killed; and after it, in `take`.
            self.receipts.open(receipt.experiment, receipt.drop)
            return self.receipts.create(claim(receipt, "first drop", drop, now))
        return self.receipts.create(answered(receipt, plan, now))

    def _described(self, plan: Plan, spec: JobSpec, drop_id: str) -> Received:
        marker = spec.kedja.drop.wait_for
        return self.snapshots.describe(
            plan.drop,
            drop_id,
            entry_script=plan.entry_script if isinstance(plan, Ready) else None,
            ignored=[marker] if marker else [],
        )

    def _again(
        self, receipt: Receipt, plan: Plan, spec: JobSpec, drop_id: str, trigger: str, *, force: bool
    ) -> Receipt:
        """Answer content that has a receipt: submit it where it is its turn, else say which job did it already."""
        drop, now = plan.drop, self.receipts.clock()
        newest = drop.newest or drop.now

        def wanted(current: Receipt) -> str | None:
            """Return why the next attempt is to be claimed, or None where it is not."""
            if force and current.status in FINAL:
                return "forced"
            if current.status is Status.WAITING or (current.status is Status.REJECTED and not current.attempts):
                return "complete now"
            if current.status in RETRIED_BY_DROP and newest > current.newest_upload:
                return f"dropped again after {current.status}"
            return None

        if receipt.status is Status.CANCELING and newest > receipt.newest_upload:
            raise ReceiptBusy(f"{receipt.name} was dropped again while its job is being canceled. Try again later.")
        if isinstance(plan, Ready) and wanted(receipt):
            described = self._described(plan, spec, drop_id)
            self.snapshots.copy_scripts(drop, drop_id)
            self.receipts.open(receipt.experiment, receipt.drop)

            def claim_once(current: Receipt) -> Receipt:
                why = wanted(current)
                return claim(current, why, drop, now).with_(received=described) if why else current

            return self.receipts.change(receipt, claim_once)
        answerable = receipt.status in (Status.WAITING, Status.REJECTED) or (
            receipt.status is Status.SUPERSEDED and newest > receipt.newest_upload
        )
        if not isinstance(plan, Ready) and answerable and not receipt.attempts:
            written = self.receipts.change(receipt, lambda current: seen(answered(current, plan, now), drop))
            self.receipts.index(written)  # a call that was killed may have written the receipt and not its index
            return written
        return self.receipts.change(receipt, lambda current: repeated(current, trigger, drop, now))

    def _reject_outsider(self, request: SettleRequest) -> Receipt | None:
        """Answer a file that was dropped outside of any folder."""
        found = [
            (container, item)
            for container in (names.DATA, names.SCRIPTS)
            if (item := self.blobs.get(container, request.folder)) is not None
        ]
        if not found:
            return None
        drop = Drop.of_outsiders(request.folder, found, now=self.receipts.clock())
        container = found[0][0]
        plan = Rejected(
            drop=drop,
            reason=f"{container}/{request.folder} lies outside of any experiment's folder.",
            what_to_do=f"Drop it into a folder: {container}/<experiment>/{request.folder}.",
        )
        drop_id = drop.id("outside of any experiment")
        receipt = self._first(plan, JobSpec(), drop_id, request.trigger)
        self.receipts.open(receipt.experiment, receipt.drop)
        return self.receipts.flush(receipt)


def _waits_for_compute(plan: Plan) -> bool:
    return isinstance(plan, Waiting) and plan.what.startswith("compute ")

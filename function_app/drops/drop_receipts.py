"""Receipts of drops: writes the receipt of new content, and updates that of content which came again."""

import functools
from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from function_app.domain.contents import DropContents
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import Receipt, Status, WaitingFor
from function_app.domain.receipt_transitions import (
    claim_attempt,
    drop_order,
    next_attempt_reason,
    with_listing,
    with_plan,
    with_repeat,
)
from function_app.drops.archives import ScriptArchives
from function_app.drops.uploaders import UploadRecords, uploaded_by
from function_app.errors import TrainingServiceUnavailable
from function_app.jobs.submission import Submitter
from function_app.jobspec.schema import JobSpec
from function_app.models.deletion import attempts_before
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs
from function_app.store.latest_drop import LatestDrop
from function_app.store.receipts import ReceiptBusy, Receipts
from function_app.store.snapshots import Snapshots

ManifestWriter = Callable[[], DropContents]
"""Writes a drop's manifest, and returns its summary for the receipt."""
Whole = tuple[Drop, Callable[[], LatestDrop | None]]
"""All files of the folder, used or not, and a function that returns the experiment's previous latest drop."""


@frozen(kw_only=True)
class DropReceipts:
    """Writes receipts, with the snapshot that each stands for."""

    archives: ScriptArchives
    blobs: Blobs
    clock: Clock
    receipts: Receipts
    snapshots: Snapshots
    submitter: Submitter
    uploads: UploadRecords

    def create(
        self,
        plan: Plan,
        spec: JobSpec,
        ref: DropRef,
        trigger: str,
        describe: ManifestWriter,
        *,
        force: str | None = None,
    ) -> Receipt:
        """Write the receipt of new content, with its first attempt if the drop is ready."""
        drop = plan.drop
        self.snapshots.save_spec(ref, spec)
        received = describe()
        now = self.clock()
        receipt = Receipt(
            experiment=ref.experiment,
            folder=drop.folder,
            drop=ref.drop,
            sequence=drop_order(drop.now),
            listed=drop_order(drop.now),
            status=Status.WAITING,
            received_at=now,
            updated_at=now,
            newest_upload=drop.newest or drop.now,
            trigger=trigger,
            uploaded_by=uploaded_by(drop, self.uploads.latest_links(drop.experiment)),
            received=received,
            attempts_before=attempts_before(self.blobs, ref),
        )
        if isinstance(plan, ReadyPlan):
            self._keep_scripts(drop, ref)
        # Before the receipt, so that `reconcile` finds it if this is killed; `process_drop` sets it again later.
        self.receipts.set_open_mark(receipt.ref)
        if isinstance(plan, ReadyPlan):
            receipt = receipt.replace(spec=self.submitter.redacted_document(plan, spec, ref))
            options = spec.kedja.attempt_options
            return self.receipts.create(claim_attempt(receipt, "first drop", drop, now, options, request=force))
        return self.receipts.create(with_plan(receipt, plan, now))

    def described(self, plan: Plan, spec: JobSpec, ref: DropRef, code: str | None, whole: Whole | None) -> DropContents:
        """Write the manifest; return its summary for the receipt. `whole` has all files of the folder, used or not."""
        marker = spec.kedja.drop.wait_for
        received = self.snapshots.write_manifest(
            plan.drop,
            ref,
            entry_script=plan.entry_script if isinstance(plan, ReadyPlan) else None,
            ignored=[marker] if marker else [],
        )
        drop, latest = (whole[0], whole[1]()) if whole else (None, None)
        gone = self.snapshots.missing_files(latest.ref, drop) if drop and latest and latest.ref != ref else None
        return received.replace(code_sha256=code, gone=gone)

    def update(
        self,
        receipt: Receipt,
        plan: Plan,
        spec: JobSpec,
        ref: DropRef,
        trigger: str,
        *,
        force: str | None,
        describe: ManifestWriter,
    ) -> Receipt:
        """Update the receipt of known content: claim the next attempt if it needs one, else record the repeat."""
        drop, now = plan.drop, self.clock()
        newest = drop.newest or drop.now
        is_due = next_attempt_reason(receipt, newest, force=force, at=now) is not None

        if receipt.status is Status.CANCELING and newest > receipt.newest_upload:
            raise ReceiptBusy(f"{receipt.name} was dropped again while its job is being canceled. Try again later.")
        if isinstance(plan, ReadyPlan) and is_due:
            return self._claim_next(receipt, plan, spec, ref, force=force, describe=describe, now=now)
        answerable = receipt.status in (Status.WAITING, Status.REJECTED) or (
            receipt.status is Status.SUPERSEDED and newest > receipt.newest_upload
        )
        if not isinstance(plan, ReadyPlan) and answerable and not receipt.attempts:
            answer = functools.partial(_named, plan=plan)
            self.receipts.set_open_mark(receipt.ref)
            written = self.receipts.change(
                receipt, lambda current: answer(with_listing(with_plan(current, plan, now), drop))
            )
            self.receipts.write_index(written)  # a call that was killed may have written the receipt but not its index
            return written
        if isinstance(plan, WaitingPlan) and plan.waiting_for is WaitingFor.COMPUTE and is_due:
            raise TrainingServiceUnavailable(f"{receipt.name} was dropped again, but the {plan.what} does not exist.")
        refused = plan.reason if isinstance(plan, RejectedPlan) and is_due else None
        return self.receipts.change(receipt, lambda current: with_repeat(current, trigger, drop, now, refused=refused))

    def _claim_next(
        self,
        receipt: Receipt,
        plan: ReadyPlan,
        spec: JobSpec,
        ref: DropRef,
        *,
        force: str | None,
        describe: ManifestWriter,
        now: datetime,
    ) -> Receipt:
        """Claim the next attempt, unless another call has claimed it since."""
        drop = plan.drop
        newest = drop.newest or drop.now
        # Snapshots of waiting drops are never deleted; others may be deleted before their receipt records it.
        if receipt.status is not Status.WAITING:
            self.snapshots.save_spec(ref, spec)
        described = describe()
        came_from = uploaded_by(drop, self.uploads.latest_links(drop.experiment))
        shown = self.submitter.redacted_document(plan, spec, ref)
        self._keep_scripts(drop, ref)
        self.receipts.set_open_mark(receipt.ref)

        def claim_once(current: Receipt) -> Receipt:
            why = next_attempt_reason(current, newest, force=force, at=now)
            if why is None:
                return current
            _check_snapshot(current, receipt)
            claimed = claim_attempt(current, why, drop, now, spec.kedja.attempt_options, request=force)
            return claimed.replace(received=described, uploaded_by=came_from, spec=shown)

        return self.receipts.change(receipt, claim_once)

    def _keep_scripts(self, drop: Drop, ref: DropRef) -> None:
        self.snapshots.copy_scripts(drop, ref)
        self.archives.unpack(drop, ref)


def _named(receipt: Receipt, plan: Plan) -> Receipt:
    """Return the receipt with the digest that it waits for, which may have changed with the ETag of a large script."""
    if not isinstance(plan, WaitingPlan) or plan.digest is None:
        return receipt
    return receipt.replace(received=receipt.received.replace(code_sha256=plan.digest))


def _check_snapshot(current: Receipt, read: Receipt) -> None:
    """Raise ReceiptBusy if the snapshot was deleted while it was being written again."""
    if current.forgotten != read.forgotten:
        raise ReceiptBusy(f"The snapshot of {read.name} has expired and was just deleted. Try again.")

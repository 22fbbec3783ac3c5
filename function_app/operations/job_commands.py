"""Commands for jobs, from people and other systems: submit, cancel, retry."""

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import AttemptOptions
from function_app.domain.cloud_events import EventType
from function_app.domain.drop import Drop
from function_app.domain.plan import ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import FINAL, Receipt, Status, WaitingFor
from function_app.domain.receipt_transitions import came_of, drop_order, with_retry
from function_app.drops.archives import ScriptArchives
from function_app.drops.planning import Planner
from function_app.drops.settling import Settler
from function_app.errors import NotFound, Refused, RoleMissing
from function_app.jobs.submission import Submitter
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec, parse_job_json
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs
from function_app.store.approvals import Approvals
from function_app.store.deletions import check_not_deleting
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots, UnreadableSnapshot

_KEYS_NAMED, _LONGEST_KEY = 20, 100
"""Max keys that a refusal names, and max characters of each."""
_RETRIABLE = frozenset({Status.FAILED, Status.CANCELED, Status.SUPERSEDED, Status.NOT_REGISTERED, Status.REGISTERED})


@frozen(kw_only=True)
class DryRun:
    """What a submission would do: the receipt it would write to, and the exact document that it would send."""

    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    waiting_for: WaitingFor | None
    document: Mapping[str, Any] | None
    existing: Receipt | None


@frozen(kw_only=True)
class JobCommands:
    """Finds, submits, cancels and retries jobs."""

    approvals: Approvals
    archives: ScriptArchives
    blobs: Blobs
    clock: Clock
    planner: Planner
    receipts: Receipts
    settler: Settler
    snapshots: Snapshots
    submitter: Submitter

    def find(self, name: str) -> Receipt:
        """Return the receipt of a job.

        Raises:
            NotFound: there is no such job.
        """
        receipt = self.receipts.of_job(name)
        if receipt is None:
            raise NotFound(f"There is no job {name!r}. GET /api/jobs lists those there are.")
        return receipt

    def submit(
        self,
        request: Mapping[str, object],
        *,
        trigger: str,
        code: bool,
        force: bool = False,
        identity: str | None = None,
    ) -> Receipt:
        """Submit the current content of an experiment's folders.

        `request` has the keys of a job.yaml and is merged over the dropped one (RFC 7396). `code`: the caller may
        decide what code runs. `identity` identifies the request: sent again, it does not force another attempt.

        Raises:
            InvalidJobSpec: a key or its value is invalid.
            NotFound: nothing was dropped.
            RoleMissing: the caller may not set a key.
            ModelNotShared: the model belongs to another experiment.
            SourceChanged, CopyPending: try again later.
        """
        drop, spec = self._drop(request, code=code)
        forced = (identity or secrets.token_hex(32)) if force else None
        return self.settler.process_drop(drop, spec, trigger=trigger, force=forced, strict=True)

    def submit_requested(self, request: Mapping[str, object], *, source: str, code: bool) -> Receipt:
        """Submit what an event requested.

        Raises as `submit` does, except for ModelNotShared: the drop is rejected instead.
        """
        drop, spec = self._drop(request, code=code)
        return self.settler.process_drop(drop, spec, trigger=f"event: {source}")

    def dry_run(self, request: Mapping[str, object], *, code: bool) -> DryRun:
        """Return what `submit` would do, without doing it. Raises as `submit` does."""
        drop, spec = self._drop(request, code=code)
        plan = self.planner.plan(drop, spec)
        ref = plan.drop.ref(spec.canonical())
        plan = self.settler.scripts.check(plan, spec)
        plan = self.settler.owners.planned(plan, spec.kedja.registration, claim=False)
        return DryRun(
            drop=ref.drop,
            status={ReadyPlan: Status.SUBMITTING, WaitingPlan: Status.WAITING, RejectedPlan: Status.REJECTED}[
                type(plan)
            ],
            reason=getattr(plan, "reason", getattr(plan, "what", None)),
            what_to_do=getattr(plan, "what_to_do", None),
            waiting_for=plan.waiting_for if isinstance(plan, WaitingPlan) else None,
            document=self.submitter.redacted_document(plan, spec, ref) if isinstance(plan, ReadyPlan) else None,
            existing=self.receipts.find(ref),
        )

    @staticmethod
    def validate(request: Mapping[str, object], *, code: bool) -> str:
        """Validate a request without reading storage; return the folder whose files it uses.

        Raises:
            InvalidJobSpec: a key or its value is invalid.
            RoleMissing: the caller may not set a key.
        """
        asked = parse_job_json(request)
        if not code and (keys := [*asked.code_keys(), *_taken_away(request)]):
            some = ", ".join(key[:_LONGEST_KEY] for key in keys[:_KEYS_NAMED])
            more = f" and {len(keys) - _KEYS_NAMED} more" if len(keys) > _KEYS_NAMED else ""
            raise RoleMissing(f"These keys decide what runs or is registered, and need the role `code`: {some}{more}.")
        if asked.experiment_name is None:
            raise InvalidJobSpec(["experiment_name: missing. Name the experiment whose files to use."])
        if "/" in asked.experiment_name:  # a subfolder belongs to the experiment of its top-level folder
            raise InvalidJobSpec([f"experiment_name: {asked.experiment_name!r} is a path; name a top-level folder."])
        return asked.experiment_name

    def _drop(self, request: Mapping[str, object], *, code: bool) -> tuple[Drop, JobSpec]:
        folder = self.validate(request, code=code)
        drop = self.archives.expand(Drop.list_drop(self.blobs, folder))
        if drop.is_empty:
            raise NotFound(
                f"Nothing was dropped for the experiment {folder!r}. Drop files into "
                f"{naming.DATA}/{folder}/ or {naming.SCRIPTS}/{folder}/."
            )
        dropped = self.settler.spec(drop)
        if isinstance(dropped, InvalidJobSpec):
            raise dropped
        spec = parse_job_json(merged(json.loads(dropped.to_json()), request))
        return drop, self.settler.with_files(drop, spec)

    def cancel(self, name: str) -> Receipt:
        """Cancel a job that has not ended.

        Raises:
            NotFound: there is no such job.
            Refused: the job has ended.
        """
        receipt = self.find(name)

        def edit(current: Receipt) -> Receipt:
            if current.status in FINAL or current.status is Status.COMPLETED:
                raise Refused(f"The job {name} is {current.status}: there is nothing to cancel.")
            if current.job != name:
                raise Refused(f"The job {name} has ended, and its drop continues as {current.job}: cancel that job.")
            if current.status is Status.CANCELING:
                return current
            if current.status is Status.QUEUED:
                now = self.clock()
                canceled = current.with_status(
                    Status.CANCELED, now, "It was canceled on request.", "Retry the job, or drop the files again."
                )
                return canceled.with_attempt(ended=now).with_event(EventType.JOB_CANCELED, now)
            return current.with_status(Status.CANCELING, self.clock(), "It was canceled on request.")

        receipt = self.receipts.change(receipt, edit)
        if receipt.status is Status.CANCELED:  # it was queued
            self.submitter.job_queue.dequeue(receipt)
            return self.receipts.publish_outbox(receipt)
        self.submitter.cancel(name, receipt)
        return receipt

    def retry(self, name: str, *, identity: str | None = None) -> Receipt:
        """Claim the next attempt of a job's receipt and submit it from its snapshot.

        `identity` identifies the request: sent again, it claims no other attempt.

        Raises:
            NotFound: there is no such job.
            Refused: the job cannot be retried: its status, snapshot, approval or model does not allow it.
            BeingDeleted: the experiment is being deleted.
        """
        receipt = self.find(name)
        check_not_deleting(self.blobs, receipt.experiment)
        if came_of(receipt, identity, self.clock()):
            return self.submitter.submit(receipt)
        # Drops are ordered by the storage's clock, not by this host's.
        order = drop_order(self.blobs.read(naming.RECEIPTS, naming.receipt_blob(receipt.ref)).now)

        def edit(current: Receipt) -> Receipt:
            if came_of(current, identity, self.clock()):
                return current
            if current.status not in _RETRIABLE:
                raise Refused(f"The receipt {current.name} is {current.status}: there is nothing to retry.")
            if "snapshot" in current.forgotten:
                raise Refused(f"The snapshot of {current.name} has expired and was deleted: drop the files again.")
            return with_retry(current, f"retry of {name}", order, self.clock(), options, request=identity)

        options = self._checked_options(receipt)
        # Before the claim, so that `reconcile` finds the receipt if this is killed; `submit` sets the mark again.
        self.receipts.set_open_mark(receipt.ref)
        return self.submitter.submit(self.receipts.change(receipt, edit))

    def _checked_options(self, receipt: Receipt) -> AttemptOptions:
        """Return the options of the receipt's job spec.

        Raise Refused if the snapshot is missing, its code is not approved (any more), or its model is not shared.
        """
        if receipt.status not in _RETRIABLE or "snapshot" in receipt.forgotten:
            return AttemptOptions()  # the edit refuses it with a message about its status
        try:
            spec = self.snapshots.spec(receipt.ref)
        except UnreadableSnapshot as gone:
            raise Refused(f"{gone} Drop the files again.") from gone
        self.approvals.check(receipt, spec)
        self.settler.owners.check(spec.kedja.registration.model, receipt.experiment)
        return spec.kedja.attempt_options


def _taken_away(request: Mapping[str, object], path: str = "") -> Iterator[str]:
    """Yield the keys that a merge patch would remove from the dropped job.yaml, such as its gate."""
    for key, value in request.items():
        if value is None:
            yield f"{path}{key}"
        elif isinstance(value, Mapping):
            yield from _taken_away(value, f"{path}{key}.")


def merged(base: dict[str, Any], patch: Mapping[str, object]) -> dict[str, Any]:
    """Return `base` with a JSON merge patch applied (https://www.rfc-editor.org/rfc/rfc7396)."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result

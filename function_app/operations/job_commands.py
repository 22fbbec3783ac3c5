"""Jobs as people and other systems ask for them: submit, cancel, retry."""

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
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.domain.receipt_transitions import came_of, drop_order, with_retry
from function_app.drops.archives import ScriptArchives
from function_app.drops.planning import Planner
from function_app.drops.settling import Settler
from function_app.errors import NotFound, Refused, RoleMissing
from function_app.jobs.submission import Submitter
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec, parse_job_json
from function_app.ports.storage import Blobs
from function_app.store.approvals import Approvals
from function_app.store.deletions import check_not_deleting
from function_app.store.receipts import Receipts
from function_app.store.snapshots import Snapshots, UnreadableSnapshot

_KEYS_NAMED, _LONGEST_KEY = 20, 100
"""How many keys a refusal names, and characters of each."""
_RETRIABLE = frozenset({Status.FAILED, Status.CANCELED, Status.SUPERSEDED, Status.NOT_REGISTERED, Status.REGISTERED})


@frozen(kw_only=True)
class DryRun:
    """What a submission would do: the receipt it would write to, and the very document that would be sent."""

    drop: str
    status: Status
    reason: str | None
    what_to_do: str | None
    document: Mapping[str, Any] | None
    existing: Receipt | None


@frozen(kw_only=True)
class JobCommands:
    """What can be asked about jobs."""

    approvals: Approvals
    archives: ScriptArchives
    blobs: Blobs
    planner: Planner
    receipts: Receipts
    settler: Settler
    snapshots: Snapshots
    submitter: Submitter

    def find(self, name: str) -> Receipt:
        """Return the receipt of a job. Raise NotFound where there is none."""
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
        """Submit what lies in an experiment's folders now.

        `request` has the keys of a job.yaml and is merged over the one that lies there (RFC 7396); `code` says that
        the caller may decide what code runs. `identity` is the request's: sent again, it forces no other attempt.

        Raises:
            InvalidJobSpec: where a key is wrong.
            NotFound: where nothing was dropped.
            RoleMissing: where the caller may not set a key.
            ModelNotShared: if the model is another experiment's.
            SourceChanged, CopyPending: try again.
        """
        drop, spec = self._drop(request, code=code)
        forced = (identity or secrets.token_hex(32)) if force else None
        return self.settler.process_drop(drop, spec, trigger=trigger, force=forced, strict=True)

    def submit_requested(self, request: Mapping[str, object], *, source: str, code: bool) -> Receipt:
        """Submit what an event asked for. Raises as `submit` does, but a drop whose model is another's is rejected."""
        drop, spec = self._drop(request, code=code)
        return self.settler.process_drop(drop, spec, trigger=f"event: {source}")

    def dry_run(self, request: Mapping[str, object], *, code: bool) -> DryRun:
        """Return what `submit` would do, without doing it. Raises as `submit` does."""
        drop, spec = self._drop(request, code=code)
        plan = self.planner.plan(drop, spec)
        drop_id = plan.drop.id(spec.canonical())
        plan = self.settler.owners.planned(plan, spec.kedja.registration, claim=False)
        return DryRun(
            drop=drop_id,
            status={ReadyPlan: Status.SUBMITTING, WaitingPlan: Status.WAITING, RejectedPlan: Status.REJECTED}[
                type(plan)
            ],
            reason=getattr(plan, "reason", getattr(plan, "what", None)),
            what_to_do=getattr(plan, "what_to_do", None),
            document=self.submitter.redacted_document(plan, spec, drop_id) if isinstance(plan, ReadyPlan) else None,
            existing=self.receipts.find(drop.experiment, drop_id),
        )

    @staticmethod
    def validate(request: Mapping[str, object], *, code: bool) -> str:
        """Check a request for itself, before anything is looked up; return the folder whose files it wants.

        Raises:
            InvalidJobSpec: where a key is wrong.
            RoleMissing: where the caller may not set a key.
        """
        asked = parse_job_json(request)
        if not code and (keys := [*asked.code_keys(), *_taken_away(request)]):
            some = ", ".join(key[:_LONGEST_KEY] for key in keys[:_KEYS_NAMED])
            more = f" and {len(keys) - _KEYS_NAMED} more" if len(keys) > _KEYS_NAMED else ""
            raise RoleMissing(f"{some}{more} decide what runs and what is registered: that takes the role `code`.")
        if asked.experiment_name is None:
            raise InvalidJobSpec(["experiment_name: names the experiment whose files are to be used, and is missing."])
        if "/" in asked.experiment_name:  # a folder below another experiment's is that experiment's
            raise InvalidJobSpec([f"experiment_name: {asked.experiment_name!r} is a path; name a folder at the top."])
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
            NotFound, Refused: where there is no such job, or it has ended.
        """
        receipt = self.find(name)

        def edit(current: Receipt) -> Receipt:
            if current.status in FINAL or current.status is Status.COMPLETED:
                raise Refused(f"The job {name} is {current.status}: there is nothing to cancel.")
            if current.job != name:
                raise Refused(f"The job {name} has ended, and its drop goes on as {current.job}: cancel that one.")
            if current.status is Status.CANCELING:
                return current
            if current.status is Status.QUEUED:
                now = self.receipts.clock()
                canceled = current.with_status(
                    Status.CANCELED, now, "Somebody canceled it.", "Retry it, or drop it again."
                )
                return canceled.with_attempt(ended=now).with_event(EventType.JOB_CANCELED, now)
            return current.with_status(Status.CANCELING, self.receipts.clock(), "Somebody canceled it.")

        receipt = self.receipts.change(receipt, edit)
        if receipt.status is Status.CANCELED:  # it was queued
            self.submitter.turns.dequeue(receipt)
            return self.receipts.publish_outbox(receipt)
        self.submitter.cancel(name, receipt)
        return receipt

    def retry(self, name: str, *, identity: str | None = None) -> Receipt:
        """Claim the next attempt of a job's receipt and submit it, from the snapshot it has.

        `identity` is the request's: sent again, it claims no other attempt.

        Raises:
            NotFound, Refused: where there is no such job, or it is still going on.
        """
        receipt = self.find(name)
        check_not_deleting(self.blobs, receipt.experiment)
        if came_of(receipt, identity, self.receipts.clock()):
            return self.submitter.submit(receipt)
        # The order among drops is that of the storage's clock, whatever this host's says.
        order = drop_order(self.blobs.read(naming.RECEIPTS, naming.receipt_blob(receipt.experiment, receipt.drop)).now)

        def edit(current: Receipt) -> Receipt:
            if came_of(current, identity, self.receipts.clock()):
                return current
            if current.status not in _RETRIABLE:
                raise Refused(f"The receipt {current.name} is {current.status}: there is nothing to retry.")
            if "snapshot" in current.forgotten:
                raise Refused(f"The snapshot of {current.name} was deleted, its time being over: drop the files again.")
            return with_retry(current, f"retry of {name}", order, self.receipts.clock(), options, request=identity)

        options = self._checked_options(receipt)
        # Before the claim, so that `reconcile` finds it wherever this is killed; `submit` does it again after that.
        self.receipts.set_open_mark(receipt.experiment, receipt.drop)
        return self.submitter.submit(self.receipts.change(receipt, edit))

    def _checked_options(self, receipt: Receipt) -> AttemptOptions:
        """Return what the receipt's job.yaml asks for.

        Raise Refused if the snapshot is gone, its code is not approved (any more), or its model is another's.
        """
        if receipt.status not in _RETRIABLE or "snapshot" in receipt.forgotten:
            return AttemptOptions()  # the edit refuses it in the words of its status
        try:
            spec = self.snapshots.spec(receipt.experiment, receipt.drop)
        except UnreadableSnapshot as gone:
            raise Refused(f"{gone} Drop the files again.") from gone
        self.approvals.check(receipt, spec)
        self.settler.owners.check(spec.kedja.registration.model, receipt.experiment)
        return spec.kedja.attempt_options


def _taken_away(request: Mapping[str, object], path: str = "") -> Iterator[str]:
    """Yield the keys that a merge patch would take out of the dropped job.yaml, such as its gate."""
    for key, value in request.items():
        if value is None:
            yield f"{path}{key}"
        elif isinstance(value, Mapping):
            yield from _taken_away(value, f"{path}{key}.")


def merged(base: dict[str, Any], patch: Mapping[str, object]) -> dict[str, Any]:
    """Return a JSON merge patch applied (https://www.rfc-editor.org/rfc/rfc7396)."""
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

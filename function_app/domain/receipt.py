"""The receipt: what Kedja reports about a drop to the person who dropped it. `store.receipts` keeps it in storage."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, Unpack

from pydantic import Field

from function_app.domain.attempt import Attempt
from function_app.domain.cloud_events import EventType, OutgoingEvent
from function_app.domain.contents import DropContents
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.errors import Refused

if TYPE_CHECKING:
    from function_app.domain.receipt_changes import AttemptChanges, ReceiptChanges

REPEATS_LISTED = 20
ATTENTION_LISTED = 10
UNKNOWN = "unknown"


class Status(enum.StrEnum):
    """The state of a drop."""

    WAITING = "waiting"
    """Something is missing, which `reason` names."""
    QUEUED = "queued"
    """Ready, but the limit of concurrent jobs is reached."""
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "completed"
    """The job has completed; its model is being registered and copied."""
    REGISTERED = "registered"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"
    NOT_REGISTERED = "not_registered"
    SUPERSEDED = "superseded"
    """A newer drop of the experiment replaced it before its job started."""


class WaitingFor(enum.StrEnum):
    """What a `waiting` receipt waits for. `reason` says it in words."""

    FILES = "files"
    """A script, data, or the file that announces that all are there: an event reports it."""
    COMPUTE = "compute"
    APPROVAL = "approval"
    TRAINING_SERVICE = "training-service"


_S = Status
_WITH_JOB = (_S.STARTING, _S.RUNNING, _S.COMPLETED, _S.FAILED, _S.CANCELING, _S.CANCELED)
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    _S.WAITING: frozenset({_S.SUBMITTING, _S.REJECTED, _S.SUPERSEDED}),
    _S.QUEUED: frozenset({_S.SUBMITTING, _S.SUBMITTED, _S.SUPERSEDED, _S.CANCELED}),
    _S.SUBMITTING: frozenset({_S.QUEUED, _S.SUBMITTED, _S.REJECTED, _S.FAILED, _S.CANCELING}),
    # Back to submitting: the job was killed or lost its node, and is resumed as the next attempt.
    _S.SUBMITTED: frozenset({*_WITH_JOB, _S.SUBMITTING}),
    _S.STARTING: frozenset({*_WITH_JOB, _S.SUBMITTING}) - {_S.STARTING},
    _S.RUNNING: frozenset({_S.STARTING, _S.COMPLETED, _S.FAILED, _S.CANCELING, _S.CANCELED, _S.SUBMITTING}),
    _S.COMPLETED: frozenset({_S.REGISTERED, _S.NOT_REGISTERED}),
    _S.CANCELING: frozenset({_S.CANCELED, _S.SUPERSEDED, _S.FAILED}),
    # Back to submitted, and below to completed: the service knows the job again after it did not.
    _S.FAILED: frozenset({_S.SUBMITTING, _S.SUBMITTED}),
    _S.CANCELED: frozenset({_S.SUBMITTING}),
    _S.SUPERSEDED: frozenset({_S.WAITING, _S.REJECTED, _S.SUBMITTING}),
    _S.REJECTED: frozenset({_S.WAITING, _S.SUBMITTING}),
    _S.NOT_REGISTERED: frozenset({_S.SUBMITTING, _S.COMPLETED}),
    _S.REGISTERED: frozenset({_S.SUBMITTING}),
}
"""Which status may follow which. `docs/design.md` has a diagram."""

FINAL = frozenset({_S.REGISTERED, _S.NOT_REGISTERED, _S.REJECTED, _S.FAILED, _S.CANCELED, _S.SUPERSEDED})
"""These no longer change unless somebody asks for it."""

NOT_STARTED = frozenset({_S.WAITING, _S.QUEUED, _S.SUBMITTING, _S.SUBMITTED, _S.STARTING})
"""A newer drop may supersede these."""

RETRIED_BY_DROP = frozenset({_S.FAILED, _S.CANCELED, _S.SUPERSEDED, _S.REJECTED})
"""If the same content is dropped again, these get their next attempt."""


Order = tuple[int, datetime, str]
"""A drop's place among others of its experiment: sequence, newest file, id. Of two listings in the same second, the
one with the newer file is the later."""


class IllegalTransition(Refused):
    """A receipt cannot change from its status to the new one: another call changed it first."""


class StatusChange(Document):
    """An entry of the status history."""

    status: Status
    at: datetime
    reason: str | None = None


class RepeatedDrop(Document):
    """The same content was dropped again."""

    at: datetime
    trigger: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of the job's outputs, copied to `models`. `size` is in bytes, `sha256` in hex. Small, as `DroppedFile`."""

    path: str
    size: int
    sha256: str | None = None


class RegisteredModel(Document):
    """The model version that was trained on the drop, and where its files are."""

    model: str
    version: str
    path: str
    champion: bool = False
    copied: int = 0
    files: int = 0
    size: int = 0
    artifacts: tuple[Artifact, ...] = ()


class Receipt(Document):
    """What was received, what was decided and why, and the result."""

    version: int = 1
    experiment: str
    folder: str
    drop: str
    sequence: int
    status: Status
    reason: str | None = None
    what_to_do: str | None = None
    waiting_for: WaitingFor | None = None
    received_at: datetime
    updated_at: datetime
    newest_upload: datetime
    listed: int | None = None
    """When its files were last listed, in seconds of the storage's clock."""
    trigger: str
    uploaded_by: tuple[str, ...] = (UNKNOWN,)
    """Who uploaded its files, as far as known; includes `unknown` if any file's uploader is not."""
    received: DropContents
    spec: Mapping[str, Any] = {}
    attempts: tuple[Attempt, ...] = ()
    attempts_before: int = 0
    """How many attempts a deleted receipt of the same content had."""
    preemptions: int = 0
    """How many attempts in a row were killed before the last one."""
    model: RegisteredModel | None = None
    notes: tuple[str, ...] = Field(default=(), exclude_if=lambda notes: not notes)
    """What its job found worth telling about its last attempt, and which file is the model and why."""
    forgotten: tuple[str, ...] = ()
    """What retention has deleted since: `model`, `snapshot`."""
    followed_by: str | None = None
    superseded_by: str | None = None
    attention: tuple[str, ...] = ()
    repeats: tuple[RepeatedDrop, ...] = ()
    history: tuple[StatusChange, ...] = ()
    outbox: tuple[OutgoingEvent, ...] = ()

    @property
    def ref(self) -> DropRef:
        """Which drop it is the receipt of."""
        return DropRef(self.experiment, self.drop)

    @property
    def name(self) -> str:
        """`<experiment>/<drop>`, which a job's tag refers to."""
        return str(self.ref)

    @property
    def order(self) -> Order:
        """The drop's place among others of its experiment."""
        return self.sequence, self.newest_upload, self.drop

    @property
    def listed_until(self) -> int:
        """The second of the storage's clock before which all written files have been listed."""
        return self.sequence if self.listed is None else self.listed

    @property
    def attempt(self) -> Attempt | None:
        """The last attempt, or None if there is none yet."""
        return self.attempts[-1] if self.attempts else None

    @property
    def job(self) -> str | None:
        """The job of the last attempt, or None if there is none yet."""
        return self.attempts[-1].job if self.attempts else None

    @property
    def waits_for(self) -> WaitingFor | None:
        """What the receipt waits for, None if it does not wait. Before release 0.2.0 receipts said it in words."""
        if self.status is not Status.WAITING:
            return None
        return self.waiting_for or _in_words(self.reason or "")

    def has_job(self, job: str) -> bool:
        """Return whether one of its attempts is this job."""
        return any(attempt.job == job for attempt in self.attempts)

    def replace(self, **changes: Unpack["ReceiptChanges"]) -> Self:  # type: ignore[override] # mypy checks each field
        """Return the receipt with these fields changed. Raises as `Document.replace`."""
        return super().replace(**changes)

    def with_status(
        self,
        status: Status,
        at: datetime,
        reason: str | None = None,
        what_to_do: str | None = None,
        waiting_for: WaitingFor | None = None,
    ) -> Self:
        """Return the receipt with its next status, or unchanged if status and reason are the same.

        Raises:
            IllegalTransition: The status cannot follow the present one.
        """
        if status == self.status and reason == self.reason:
            return self
        if status != self.status and status not in TRANSITIONS[self.status]:
            raise IllegalTransition(f"The receipt {self.name} is {self.status}: it cannot become {status}.")
        return self.replace(
            status=status,
            reason=reason,
            what_to_do=what_to_do,
            waiting_for=waiting_for,
            updated_at=at,
            history=(*self.history, StatusChange(status=status, at=at, reason=reason)),
        )

    def with_attempt(self, **changes: Unpack["AttemptChanges"]) -> Self:
        """Return the receipt with changes to its last attempt.

        Raises:
            IllegalTransition: The receipt has no attempt.
        """
        if not self.attempts:
            raise IllegalTransition(f"The receipt {self.name} has no attempt yet.")
        last = self.attempts[-1].replace(**changes)
        return self.replace(attempts=(*self.attempts[:-1], last))

    def with_event(self, kind: EventType, at: datetime, **data: Any) -> Self:  # noqa: ANN401 - event data is JSON
        """Return the receipt with an event in its outbox. Its id is derived from the drop, the attempt and the type."""
        number = self.attempts[-1].number if self.attempts else 0
        reopened = f".{self.attempts[-1].reopened}" if self.attempts and self.attempts[-1].reopened else ""
        facts = {
            "experiment": self.experiment,
            "folder": self.folder,
            "drop": self.drop,
            "receipt": f"{self.ref}.json",
            "status": self.status.value,
            "reason": self.reason,
            "job": self.job,
            "attempt": number or None,
        }
        announcement = OutgoingEvent(
            id=f"{self.experiment}-{self.drop[:16]}-{number}{reopened}-{kind.removeprefix('Kedja.')}",
            type=kind,
            source=f"/receipts/{self.experiment}",
            subject=f"drops/{self.drop}",
            time=at,
            data={key: _plain(value) for key, value in {**facts, **data}.items() if value is not None},
        )
        waiting = (one for one in self.outbox if one.id != announcement.id)
        return self.replace(outbox=(*waiting, announcement))

    def without_events(self, sent: Sequence[OutgoingEvent]) -> Self:
        """Return the receipt without published events in its outbox."""
        ids = {one.id for one in sent}
        return self.replace(outbox=tuple(one for one in self.outbox if one.id not in ids))

    def with_attention(self, note: str) -> Self:
        """Return the receipt with a note that somebody should see. Its status stays the same."""
        return self.replace(attention=(*self.attention, note)[-ATTENTION_LISTED:])


def _in_words(reason: str) -> WaitingFor:
    """Return what a receipt of a release before 0.2.0 waits for."""
    if reason == "training service":
        return WaitingFor.TRAINING_SERVICE
    if reason.startswith("compute "):
        return WaitingFor.COMPUTE
    return WaitingFor.APPROVAL if reason.startswith("approval of ") else WaitingFor.FILES


def _plain(value: Any) -> Any:  # noqa: ANN401 - event data is JSON
    """Return a JSON value; NaN and infinity, which JSON does not have, become strings."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value

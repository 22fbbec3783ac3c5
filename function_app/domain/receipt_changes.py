"""The fields of receipts and attempts, for mypy: what `replace` and `with_attempt` may change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from function_app.domain.attempt import Attempt, AttemptOptions
from function_app.domain.cloud_events import OutgoingEvent
from function_app.domain.contents import DropContents
from function_app.domain.receipt import RegisteredModel, RepeatedDrop, Status, StatusChange, WaitingFor


class AttemptChanges(TypedDict, total=False):
    """The fields of `Attempt`."""

    number: int
    job: str
    why: str
    claimed: datetime
    sequence: int
    options: AttemptOptions | None
    started: datetime | None
    ended: datetime | None
    status: str | None
    links: Mapping[str, str]
    exit_code: int | None
    error: str | None
    log_tail: tuple[str, ...]
    metrics: Mapping[str, float]
    metrics_total: int | None
    request: str | None
    without_node: datetime | None
    missing_since: datetime | None
    misses: int
    gone: datetime | None
    reopened: int
    unreadable_since: datetime | None


class ReceiptChanges(TypedDict, total=False):
    """The fields of `Receipt`."""

    version: int
    experiment: str
    folder: str
    drop: str
    sequence: int
    status: Status
    reason: str | None
    what_to_do: str | None
    waiting_for: WaitingFor | None
    received_at: datetime
    updated_at: datetime
    newest_upload: datetime
    listed: int | None
    trigger: str
    uploaded_by: tuple[str, ...]
    received: DropContents
    spec: Mapping[str, Any]
    attempts: tuple[Attempt, ...]
    attempts_before: int
    preemptions: int
    model: RegisteredModel | None
    notes: tuple[str, ...]
    forgotten: tuple[str, ...]
    followed_by: str | None
    superseded_by: str | None
    attention: tuple[str, ...]
    repeats: tuple[RepeatedDrop, ...]
    history: tuple[StatusChange, ...]
    outbox: tuple[OutgoingEvent, ...]

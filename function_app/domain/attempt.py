"""An attempt: one job that was claimed for a drop."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from function_app.domain.document import Document

REMEMBERED = timedelta(days=1)
"""How long a request is recognized if it is sent again with its idempotency key."""


class AttemptOptions(Document):
    """What job.yaml asked for when the attempt was claimed: no later step needs the snapshot for it."""

    registration: Mapping[str, Any] = {}
    """`kedja: register` as it is written there, which an older release need not understand."""
    supersede: bool = True


class Attempt(Document):
    """A job that was claimed for the drop."""

    number: int
    job: str
    why: str
    claimed: datetime
    sequence: int
    options: AttemptOptions | None = None
    """None if an earlier release claimed it: then the snapshot says."""
    started: datetime | None = None
    ended: datetime | None = None
    status: str | None = None
    """The service's own word; None until the job was seen."""
    links: Mapping[str, str] = {}
    exit_code: int | None = None
    error: str | None = None
    log_tail: tuple[str, ...] = ()
    metrics: Mapping[str, float] = {}
    metrics_total: int | None = None
    """How many metrics the job has, of which a hundred stand here at most."""
    request: str | None = None
    """What identifies the request that claimed it, so that a repeat of that claims no other."""
    without_node: datetime | None = None
    """When the receipt was told that the job gets no node."""
    missing_since: datetime | None = None
    """Since when the training service does not know the job, and `misses`: how often it said so."""
    misses: int = 0
    gone: datetime | None = None
    """When the job was taken for deleted."""
    reopened: int = 0
    """How often the job was seen again after that."""
    unreadable_since: datetime | None = None
    """Since when the snapshot cannot be read that the job is to be made of."""

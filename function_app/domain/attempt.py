"""An attempt: one job that was claimed for a drop."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from function_app.domain.document import Document

REMEMBERED = timedelta(days=1)
"""How long a request that claimed an attempt or changed a champion is recognized if it is sent again with its key: as
long as its response is kept."""


class AttemptOptions(Document):
    """The options in job.yaml when the attempt was claimed: no later step has to read the snapshot for them."""

    registration: Mapping[str, Any] = {}
    """`kedja: register` as written in job.yaml, so that older releases can read it."""
    supersede: bool = True


class Attempt(Document):
    """A job that was claimed for the drop."""

    number: int
    job: str
    why: str
    claimed: datetime
    sequence: int
    options: AttemptOptions | None = None
    """None if an earlier release claimed the attempt: the snapshot has them."""
    started: datetime | None = None
    ended: datetime | None = None
    status: str | None = None
    """The training service's own status; None until the job was seen."""
    links: Mapping[str, str] = {}
    exit_code: int | None = None
    error: str | None = None
    log_tail: tuple[str, ...] = ()
    metrics: Mapping[str, float] = {}
    metrics_total: int | None = None
    """How many metrics the job has; at most a hundred are kept here."""
    request: str | None = None
    """The id of the request that claimed the attempt, so that a repeat claims no other."""
    without_node: datetime | None = None
    """When the receipt was updated to say that the job gets no node."""
    missing_since: datetime | None = None
    """Since when the training service has not known the job; `misses` is how often it has said so."""
    misses: int = 0
    gone: datetime | None = None
    """When the job was declared deleted."""
    reopened: int = 0
    """How often the job was seen again after that."""
    unreadable_since: datetime | None = None
    """Since when the snapshot that the job is created from cannot be read."""

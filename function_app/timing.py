"""Timing: how long the service waits, retries and works, in production, local stacks and tests."""

import hashlib
import json
import math
from datetime import datetime, timedelta
from typing import Any, Self

from attrs import asdict, frozen

from function_app.errors import InvalidSettings

SETTING = "KEDJA_TIMING"
LEASE_RANGE = (15, 60)
"""Min and max duration of a lease in Azure Storage, in seconds."""
_MAX_SECONDS = 36_500 * 86_400
"""A century: longer times overflow dates."""
_DOUBLINGS = 30


@frozen(kw_only=True)
class RetryPolicy:
    """How often something is tried again, and for how long. Durations in seconds.

    The upper limit of a delay doubles with each try, from `first` to `longest`; the delay lies in the upper half of it,
    and not at the same place for everybody.
    """

    first: float
    longest: float
    deadline: float = math.inf

    def delay(self, tries: int, of: str, *, retry_after: float | None = None) -> float:
        """Return the delay in seconds before the next try of the operation named `of`, after `tries` earlier ones.

        If the service has named a time (`retry_after`), the delay is that time and up to half of the upper limit.
        """
        limit = min(self.first * 2.0 ** min(max(tries, 0), _DOUBLINGS), self.longest)
        spread = _stable_jitter(f"{of}/{tries}") * limit / 2
        return limit / 2 + spread if retry_after is None else retry_after + spread

    def ends(self, since: datetime) -> datetime:
        """Return when to give up what failed first at `since`.

        Raises:
            OverflowError: The policy has no deadline.
        """
        return since + timedelta(seconds=self.deadline)

    def is_over(self, since: datetime, now: datetime) -> bool:
        """Return whether to give up what failed first at `since`."""
        return (now - since).total_seconds() >= self.deadline


def _stable_jitter(of: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name, and evenly spread over many names."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4]) / 2**32


CONTENTION = RetryPolicy(first=0.02, longest=0.5)
"""For the next write of a blob after writes that others got ahead of."""


@frozen(kw_only=True)
class Timing:
    """Durations in seconds. The defaults suit production; KEDJA_TIMING shortens them for tests and local stacks."""

    storage_retry: float = 15.0
    """Base delay before the storage client repeats a failed request; jitter and increment base are a fifth of this."""
    first_retry: float = 5.0
    """Max delay before the first retry of a submission or a check of a job; it doubles with each retry."""
    max_retry: float = 300.0
    """Max delay before any such retry."""

    paused_check: float = 60.0
    """Interval between checks of a folder while intake is paused or its experiment is being deleted."""
    copy_check: float = 5.0
    """Min delay before the next check if a copy is in progress or another host is writing the receipt."""
    outage_check: float = 30.0
    """Min delay before the next check of a folder if the training service is unavailable; it doubles each time."""
    max_outage_check: float = 600.0
    """Max delay before that check."""
    busy_check: float = 15.0
    """Delay before the next check of a job if another host is registering its model."""
    upload_check: float = 10.0
    """Interval between checks of a completed job's outputs until all are uploaded."""
    approval_check: float = 10.0
    """Interval between checks for the receipt of an approved drop until it is written."""

    outage_deadline: float = 86_400.0
    """How long a drop or a submission waits for the training service, and a message for whatever blocks it."""
    look_deadline: float = 86_400.0
    """How long messages repeat the check of a job; after that only `reconcile` checks it."""
    upload_deadline: float = 600.0
    """How long after its completion a job's outputs may be uploaded."""

    lease: int = 60
    """Duration of the lease on a receipt during registration and retention; whole seconds from 15 to 60."""
    lease_renewal: float = 15.0
    """Age at which a held lease is renewed; at most a quarter of `lease` leaves time for retries."""

    max_function_runtime: float = 600.0
    """How long a function may run (`functionTimeout` in host.json): whatever began earlier has ended."""
    max_request_runtime: float = 540.0
    """How long an HTTP request with an Idempotency-Key may run; an older request was killed and may be repeated.

    Shorter than `max_function_runtime`; in Azure the load balancer ends a request after four minutes.
    """
    max_copy_runtime: float = 240.0
    """How long one registration call may keep starting copies of artifacts; the next call continues."""

    lost_submission: float = 240.0
    """Age at which a claimed attempt without a job counts as lost."""
    missing_job: float = 900.0
    """How long a job that was seen must be unknown to the training service before it counts as deleted."""
    unreadable_snapshot: float = 900.0
    """How long a snapshot must be unreadable before the submission that needs it fails."""
    reconcile_round: float = 480.0
    """A round of `reconcile` or `tidy` starts no work after this time; the limits of its parts add up to less."""
    open_round: float = 120.0
    """A round checks no further open receipt after this time; the next round continues there."""
    place_round: float = 60.0
    """A round checks no further queued receipt after this time."""
    marker_round: float = 60.0
    """A round checks no further marker after this time."""
    stray_round: float = 60.0
    """A round checks no further job without an open receipt after this time."""
    deletion_round: float = 120.0
    """A round starts no further batch of deletions after this time."""
    retention_round: float = 60.0
    """A round applies retention to no further experiment after this time."""
    retention_pause: float = 3600.0
    """Pause between two passes of retention over all experiments."""
    approval_round: float = 60.0
    """A round checks no further drop that waits for an approval after this time."""
    walk_round: float = 120.0
    """A round of `walk` starts no further page of experiments after this time; the next round continues there."""
    max_walk_round: float = 300.0
    """A round of `walk` starts no further folder of its page after this time."""

    @property
    def submission_retry(self) -> RetryPolicy:
        """For the submission of a claimed attempt while the training service is unavailable."""
        return RetryPolicy(first=self.first_retry, longest=self.max_retry, deadline=self.outage_deadline)

    @property
    def snapshot_retry(self) -> RetryPolicy:
        """For a submission or a registration whose snapshot is unreadable."""
        return RetryPolicy(first=self.first_retry, longest=self.max_retry, deadline=self.unreadable_snapshot)

    @property
    def sync_retry(self) -> RetryPolicy:
        """For the check of a job while the training service is unavailable."""
        return RetryPolicy(first=self.first_retry, longest=self.max_retry, deadline=self.look_deadline)

    @property
    def outage_retry(self) -> RetryPolicy:
        """For a drop while the training service is unavailable."""
        return RetryPolicy(first=2 * self.outage_check, longest=self.max_outage_check, deadline=self.outage_deadline)

    @property
    def blocked_retry(self) -> RetryPolicy:
        """For a drop, and a message about one, while a copy or another writer blocks it."""
        return RetryPolicy(first=2 * self.copy_check, longest=self.paused_check, deadline=self.outage_deadline)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Return the defaults, changed by a JSON object of field names to seconds.

        Raises:
            InvalidSettings: a value is wrong; the message names the field, its value and what is allowed.
        """
        if not text:
            return cls()
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidSettings(f"{SETTING} is not valid JSON: {error}.") from error
        if not isinstance(values, dict):
            raise InvalidSettings(f"{SETTING} must be a JSON object of field names to seconds.")
        known = asdict(cls())
        for name, value in values.items():
            if name not in known:
                raise InvalidSettings(f"{SETTING} has an unknown field {name!r}. Its fields: {', '.join(known)}.")
            _check(name, value)
        return cls(**values)


def _check(name: str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name == "lease":
        least, longest = LEASE_RANGE
        if not isinstance(value, int) or not is_number or not least <= value <= longest:
            raise InvalidSettings(
                f"{SETTING}: lease is {value!r}; it must be a whole number of seconds from {least} to {longest}."
            )
    elif not is_number or not 0 < value <= _MAX_SECONDS:
        raise InvalidSettings(
            f"{SETTING}: {name} is {value!r}; it must be a number of seconds, more than 0 and at most {_MAX_SECONDS}."
        )

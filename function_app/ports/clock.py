"""The port to time: every part that asks for the time is given a clock, so that tests can choose it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
"""Returns the current time in UTC."""


def utc_now() -> datetime:
    """Return the current time in UTC, by this host's clock."""
    return datetime.now(UTC)


def time_after(clock: Clock, seconds: float) -> datetime:
    """Return the time in so many seconds, such as the end of a round."""
    return clock() + timedelta(seconds=seconds)

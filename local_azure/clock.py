"""Time as something to hand in, so that a test can run an hour at once."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a stand-in needs to know of time."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; let other tasks run even where that is 0."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)

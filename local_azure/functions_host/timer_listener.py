"""The timer trigger: runs the function at its scheduled times, and keeps its status across restarts.

The rules follow TimerListener and ScheduleMonitor of Microsoft.Azure.WebJobs.Extensions.Timers. The status is stored in
a file (the real host stores the same JSON in a blob), unless `useMonitor` is false or the timer is due more than once a
minute. If a scheduled time passed while the host was down, the function runs once at start, as past due.
"""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from attrs import frozen

from local_azure.clock import Clock
from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.timer_schedule import TimerSchedule

_log = logging.getLogger(__name__)

NEVER = "0001-01-01T00:00:00+00:00"
"""The value of `Last` in the status of a timer that has not run yet."""

Execute = Callable[[TypedData], Awaitable[object]]
"""Runs the function with the timer's payload. It reports failures itself; the timer continues after them."""


@frozen(kw_only=True)
class ScheduleStatus:
    """When a timer last ran, when it is next due, and when that was calculated. All times are aware."""

    last: datetime | None
    next: datetime
    last_updated: datetime

    def document(self) -> dict[str, str]:
        """Return the status as JSON, as the real host writes it."""
        return {
            "Last": self.last.isoformat() if self.last else NEVER,
            "Next": self.next.isoformat(),
            "LastUpdated": self.last_updated.isoformat(),
        }


@frozen(kw_only=True)
class ScheduleFile:
    """Stores a timer's status in a file."""

    path: Path

    def read(self) -> ScheduleStatus | None:
        """Return the status, or None if there is none or it cannot be read."""
        try:
            document = json.loads(self.path.read_text())
            last = document["Last"]
            return ScheduleStatus(
                last=None if last == NEVER else datetime.fromisoformat(last),
                next=datetime.fromisoformat(document["Next"]),
                last_updated=datetime.fromisoformat(document["LastUpdated"]),
            )
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError):
            _log.warning("The timer status %s cannot be read; the schedule starts over.", self.path)
            return None

    def write(self, status: ScheduleStatus) -> None:
        """Replace the file atomically, so that a kill leaves the old or the new status."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(status.document()))
        os.replace(new, self.path)  # noqa: PTH105 - atomic by contract


@frozen(kw_only=True)
class TimerTrigger:
    """A timer's settings. `file` is None if no status is stored."""

    schedule: TimerSchedule
    file: ScheduleFile | None
    run_on_startup: bool = False


class TimerListener:
    """Runs one function on its schedule, one run at a time."""

    def __init__(self, trigger: TimerTrigger, execute: Execute, clock: Clock) -> None:
        self._schedule = trigger.schedule
        self._file = trigger.file
        self._run_on_startup = trigger.run_on_startup
        self._execute = execute
        self._clock = clock
        self._status: ScheduleStatus | None = None
        self._running: asyncio.Task[ScheduleStatus] | None = None

    async def listen(self) -> None:
        """Run the function on its schedule until cancelled; a run in progress continues, and `drain` waits for it."""
        now = self._clock.now()
        status = self._restore(now)
        past_due = now > status.next
        self._status = status
        if past_due or self._run_on_startup:
            _log.info("The timer runs at start: %s.", "it is past due" if past_due else "run_on_startup is set")
            status = await self._run(status, past_due=past_due)
        while True:
            await self._clock.sleep(max(0.0, (status.next - self._clock.now()).total_seconds()))
            status = await self._run(status, past_due=False, on_time=True)

    def payload(self, *, past_due: bool = False) -> TypedData:
        """Return the function's argument: TimerInfo as JSON."""
        document: dict[str, Any] = {
            "Schedule": {"AdjustForDST": True},
            "ScheduleStatus": self._status.document() if self._status and self._file else None,
            "IsPastDue": past_due,
        }
        return TypedData(json=json.dumps(document))

    async def drain(self, seconds: float) -> int:
        """Wait up to `seconds` for a run in progress; return how many are left, 0 or 1."""
        if self._running is None:
            return 0
        _, left = await asyncio.wait([self._running], timeout=seconds)
        return len(left)

    async def _run(self, status: ScheduleStatus, *, past_due: bool, on_time: bool = False) -> ScheduleStatus:
        self._running = asyncio.create_task(self._run_once(status, past_due=past_due, on_time=on_time))
        return await asyncio.shield(self._running)

    async def _run_once(self, status: ScheduleStatus, *, past_due: bool, on_time: bool) -> ScheduleStatus:
        began = self._clock.now()
        await self._execute(self.payload(past_due=past_due))
        # A sleep may end slightly early; from there, the same scheduled time would be next again.
        ran = max(began, status.next) if on_time else began
        status = ScheduleStatus(last=ran, next=self._schedule.next_after(ran), last_updated=ran)
        self._keep(status)
        return status

    def _restore(self, now: datetime) -> ScheduleStatus:
        fresh = ScheduleStatus(last=None, next=self._schedule.next_after(now), last_updated=now)
        kept = self._file.read() if self._file else None
        if kept is None:
            self._keep(fresh)
            return fresh
        since = kept.last or kept.last_updated
        expected = self._schedule.next_after(since)
        if kept.next == expected:
            return kept
        # The schedule has changed: that does not make the timer past due.
        changed = fresh if now > expected else ScheduleStatus(last=None, next=expected, last_updated=since)
        self._keep(changed)
        return changed

    def _keep(self, status: ScheduleStatus) -> None:
        self._status = status
        if self._file:
            self._file.write(status)

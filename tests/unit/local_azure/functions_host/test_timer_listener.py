import asyncio
import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.timer_listener import ScheduleFile, TimerListener, TimerTrigger
from local_azure.functions_host.timer_schedule import TimerSchedule

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@define
class VirtualClock:
    """Jumps ahead by what it is asked to sleep, less `early`; ends the listener after `sleeps_left` sleeps."""

    time: datetime = NOON
    sleeps_left: int = 2
    early: float = 0

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        if self.sleeps_left == 0:
            raise asyncio.CancelledError
        self.sleeps_left -= 1
        self.time += timedelta(seconds=seconds - self.early)


@define
class Function:
    clock: VirtualClock
    takes: float = 0
    runs: list[tuple[datetime, dict[str, Any]]] = field(factory=list)

    async def __call__(self, data: TypedData) -> None:
        self.runs.append((self.clock.time, json.loads(data.json)))
        self.clock.time += timedelta(seconds=self.takes)

    @property
    def times(self) -> list[str]:
        return [time.strftime("%H:%M:%S") for time, _ in self.runs]


@pytest.fixture
def file(tmp_path: Path) -> ScheduleFile:
    return ScheduleFile(path=tmp_path / "timers" / "tick.json")


def listen(trigger: TimerTrigger, clock: VirtualClock, takes: float = 0) -> Function:
    function = Function(clock, takes)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(TimerListener(trigger, function, clock).listen())
    return function


def every_five_minutes(file: ScheduleFile | None, *, run_on_startup: bool = False) -> TimerTrigger:
    return TimerTrigger(schedule=TimerSchedule.parse("0 */5 * * * *"), file=file, run_on_startup=run_on_startup)


def test_it_runs_at_its_times_and_keeps_its_status(file: ScheduleFile) -> None:
    function = listen(every_five_minutes(file), VirtualClock())
    assert function.times == ["12:05:00", "12:10:00"]
    assert function.runs[0][1] == {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": {
            "Last": "0001-01-01T00:00:00+00:00",
            "Next": "2026-11-23T12:05:00+00:00",
            "LastUpdated": "2026-11-23T12:00:00+00:00",
        },
        "IsPastDue": False,
    }
    kept = file.read()
    assert kept is not None
    assert (kept.last, kept.next) == (NOON + timedelta(minutes=10), NOON + timedelta(minutes=15))


def test_a_time_missed_while_down_runs_once_at_start(file: ScheduleFile) -> None:
    listen(every_five_minutes(file), VirtualClock(sleeps_left=1))
    function = listen(every_five_minutes(file), VirtualClock(time=NOON + timedelta(hours=1, minutes=2), sleeps_left=1))
    assert function.times == ["13:02:00", "13:05:00"]
    assert [payload["IsPastDue"] for _, payload in function.runs] == [True, False]


def test_a_time_missed_before_the_first_run_is_past_due_too(file: ScheduleFile) -> None:
    listen(every_five_minutes(file), VirtualClock(sleeps_left=0))
    function = listen(every_five_minutes(file), VirtualClock(time=NOON + timedelta(minutes=7), sleeps_left=0))
    assert function.times == ["12:07:00"]


def test_a_restart_in_time_runs_nothing_at_start(file: ScheduleFile) -> None:
    listen(every_five_minutes(file), VirtualClock(sleeps_left=1))
    function = listen(every_five_minutes(file), VirtualClock(time=NOON + timedelta(minutes=6), sleeps_left=1))
    assert function.times == ["12:10:00"]


def test_a_changed_schedule_makes_nothing_past_due(file: ScheduleFile) -> None:
    listen(every_five_minutes(file), VirtualClock(sleeps_left=1))
    hourly = TimerTrigger(schedule=TimerSchedule.parse("0 30 * * * *"), file=file)
    function = listen(hourly, VirtualClock(time=NOON + timedelta(hours=1), sleeps_left=1))
    assert function.times == ["13:30:00"]


def test_run_on_startup_runs_at_start_and_is_not_past_due(file: ScheduleFile) -> None:
    function = listen(every_five_minutes(file, run_on_startup=True), VirtualClock(sleeps_left=1))
    assert function.times == ["12:00:00", "12:05:00"]
    assert function.runs[0][1]["IsPastDue"] is False


def test_without_monitor_no_status_is_kept_or_sent() -> None:
    function = listen(every_five_minutes(None), VirtualClock(sleeps_left=1))
    assert function.runs[0][1]["ScheduleStatus"] is None


def test_a_sleep_that_ends_early_does_not_run_a_time_twice(file: ScheduleFile) -> None:
    function = listen(every_five_minutes(file), VirtualClock(sleeps_left=2, early=0.01))
    assert len(function.runs) == 2
    assert function.runs[1][0] > NOON + timedelta(minutes=9)


def test_a_run_past_its_next_time_is_followed_at_once(file: ScheduleFile) -> None:
    function = listen(every_five_minutes(file), VirtualClock(sleeps_left=2), takes=400)
    assert function.times == ["12:05:00", "12:11:40"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"Last": "x", "Next": "y", "LastUpdated": "z"}'])
def test_a_status_that_cannot_be_read_is_begun_anew(file: ScheduleFile, content: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(content)
    assert listen(every_five_minutes(file), VirtualClock(sleeps_left=1)).times == ["12:05:00"]


def test_a_stop_waits_for_the_run_under_way(file: ScheduleFile) -> None:
    async def run() -> tuple[int, int]:
        going_on, started = asyncio.Event(), asyncio.Event()

        async def function(_data: TypedData) -> None:
            started.set()
            await going_on.wait()

        listener = TimerListener(every_five_minutes(file, run_on_startup=True), function, VirtualClock())
        assert await listener.drain(5) == 0
        listening = asyncio.create_task(listener.listen())
        await started.wait()
        listening.cancel()
        await asyncio.wait([listening])
        left = await listener.drain(0.01)
        going_on.set()
        return left, await listener.drain(5)

    assert asyncio.run(run()) == (1, 0)
    kept = file.read()
    assert kept is not None
    assert kept.last == NOON

from datetime import UTC, datetime, timedelta, timezone

import pytest

from local_azure.functions_host.timer_schedule import InvalidSchedule, TimerSchedule

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 */5 * * * *", datetime(2026, 11, 23, 12, 5, tzinfo=UTC)),
        ("*/10 * * * * *", datetime(2026, 11, 23, 12, 0, 10, tzinfo=UTC)),
        ("30 0 12 * * *", datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)),
        ("0 0 12 * * *", datetime(2026, 11, 24, 12, tzinfo=UTC)),
        ("0 30 9 * * Mon-Fri", datetime(2026, 11, 24, 9, 30, tzinfo=UTC)),
        ("0 30 9 * * sunday", datetime(2026, 11, 29, 9, 30, tzinfo=UTC)),
        ("0 0 0 1 Jan *", datetime(2027, 1, 1, tzinfo=UTC)),
        ("0 0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("0 0 0 31 * *", datetime(2026, 12, 31, tzinfo=UTC)),
        ("0 0 5-7,9 * * *", datetime(2026, 11, 24, 5, tzinfo=UTC)),
        ("0 10/20 * * * *", datetime(2026, 11, 23, 12, 10, tzinfo=UTC)),
        ("0 0 0 13 * 5", datetime(2027, 8, 13, tzinfo=UTC)),  # both: the next Friday the 13th
        ("0 0 0 7 * 4-4", datetime(2027, 1, 7, tzinfo=UTC)),  # a range of one day
        ("0 0 0 29 2 0", datetime(2032, 2, 29, tzinfo=UTC)),
        ("*/5 * * * *", datetime(2026, 11, 23, 12, 5, tzinfo=UTC)),  # five fields: no seconds
    ],
)
def test_the_next_time_is_the_first_that_fits(expression: str, expected: datetime) -> None:
    assert TimerSchedule.parse(expression).next_after(NOON) == expected


def test_a_time_between_seconds_counts_as_its_second() -> None:
    schedule = TimerSchedule.parse("* * * * * *")
    assert schedule.next_after(NOON + timedelta(microseconds=1)) == NOON + timedelta(seconds=1)


def test_times_of_other_zones_are_read_as_utc() -> None:
    east = datetime(2026, 11, 23, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert TimerSchedule.parse("0 5 12 * * *").next_after(east) == datetime(2026, 11, 23, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("* * * *", "4 fields"),
        ("", "0 fields"),
        ("00:05:00", "1 fields"),
        ("60 * * * * *", "second '60'"),
        ("0 0 24 * * *", "hour '24'"),
        ("0 0 0 0 * *", "day '0'"),
        ("0 0 0 * 13 *", "month '13'"),
        ("0 0 0 * * 7", "day of week '7'"),
        ("0 */0 * * * *", "minute '0'"),
        ("0 0 0 * * Fri-Mon", "runs backwards"),
        ("0 x * * * *", "minute 'x'"),
        ("0 1- * * * *", "minute ''"),
        ("0 ² * * * *", "minute '²'"),
    ],
)
def test_what_is_no_expression_is_refused_by_field(expression: str, part: str) -> None:
    with pytest.raises(InvalidSchedule, match=part.replace("*", r"\*")):
        TimerSchedule.parse(expression)


def test_a_date_that_never_comes_is_refused() -> None:
    with pytest.raises(InvalidSchedule, match="never due"):
        TimerSchedule.parse("0 0 0 30 2 *").next_after(NOON)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("*/10 * * * * *", True), ("0 * * * * *", False), ("*/10 0 * * * *", False), ("* * * * * *", True)],
)
def test_below_a_minute_means_every_minute(expression: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    assert TimerSchedule.parse(expression).is_below_a_minute is expected

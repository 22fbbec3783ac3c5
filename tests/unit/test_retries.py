from datetime import UTC, datetime, timedelta

import pytest

from function_app.timing import CONTENTION, RetryPolicy, Timing

CROWD = [f"digits-{number}" for number in range(1000)]
RETRY = Timing().submission_retry


@pytest.mark.parametrize(("tries", "longest"), [(0, 5), (1, 10), (2, 20), (5, 160), (6, 300), (20_000, 300)])
def test_the_delay_doubles_up_to_the_longest(tries: int, longest: float) -> None:
    delays = [RETRY.delay(tries, one) for one in CROWD]
    assert longest / 2 <= min(delays) < 0.52 * longest
    assert 0.98 * longest < max(delays) <= longest


def test_a_crowd_does_not_come_back_at_the_same_moment() -> None:
    seconds = [int(RETRY.delay(6, one)) for one in CROWD]
    assert max(map(seconds.count, seconds)) < 25


def test_the_same_thing_waits_as_long_each_time_it_is_asked() -> None:
    assert RETRY.delay(3, "a") == RETRY.delay(3, "a") != RETRY.delay(3, "b")


def test_a_time_that_a_service_names_is_kept() -> None:
    delays = [RETRY.delay(2, one, retry_after=1000) for one in CROWD]
    assert min(delays) >= 1000
    assert max(delays) <= 1010
    assert len(set(delays)) > 900


def test_is_over_at_the_deadline() -> None:
    policy, since = RetryPolicy(first=1, longest=10, deadline=60), datetime(2026, 1, 1, tzinfo=UTC)
    waits = [timedelta(seconds=seconds) for seconds in (0, 59.9, 60, 3600)]
    assert [policy.is_over(since, since + waited) for waited in waits] == [False, False, True, True]
    assert policy.ends(since) == since + timedelta(minutes=1)


def test_a_policy_without_a_deadline_never_ends() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert not CONTENTION.is_over(since, since + timedelta(days=36_500))

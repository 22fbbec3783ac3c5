import pytest

from function_app.domain.backoff import backoff, fraction
from function_app.timing import Timing

CROWD = [f"digits-{number}" for number in range(1000)]
RETRY = {"first": Timing().first_retry, "longest": Timing().max_retry}


@pytest.mark.parametrize(("tries", "longest"), [(0, 5), (1, 10), (2, 20), (5, 160), (6, 300), (20_000, 300)])
def test_the_delay_doubles_up_to_the_longest(tries: int, longest: float) -> None:
    delays = [backoff(tries, one, **RETRY) for one in CROWD]
    assert longest / 2 <= min(delays) < 0.52 * longest
    assert 0.98 * longest < max(delays) <= longest


def test_a_crowd_does_not_come_back_at_the_same_moment() -> None:
    seconds = [int(backoff(6, one, **RETRY)) for one in CROWD]
    assert max(map(seconds.count, seconds)) < 25


def test_the_same_thing_waits_as_long_each_time_it_is_asked() -> None:
    assert backoff(3, "a", **RETRY) == backoff(3, "a", **RETRY) != backoff(3, "b", **RETRY)
    assert fraction("a") == fraction("a")


def test_a_time_that_a_service_names_is_kept() -> None:
    delays = [backoff(2, one, retry_after=1000, **RETRY) for one in CROWD]
    assert min(delays) >= 1000
    assert max(delays) <= 1010
    assert len(set(delays)) > 900

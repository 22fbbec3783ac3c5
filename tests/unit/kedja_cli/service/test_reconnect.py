import pytest

from kedja_cli.errors import ServiceUnavailable
from kedja_cli.service.reconnect import MAX_OUTAGE, ReconnectBackoff


def test_delays_grow_during_an_outage_until_its_limit() -> None:
    now = [0.0]
    backoff = ReconnectBackoff(clock=lambda: now[0])
    away = ServiceUnavailable("away")
    assert [backoff.next_delay(away) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    now[0] = MAX_OUTAGE
    with pytest.raises(ServiceUnavailable):
        backoff.next_delay(away)
    backoff.reset()
    assert backoff.next_delay(away) == 1
    assert ReconnectBackoff(None, lambda: now[0]).next_delay(away) == 1

"""Reconnecting: a command that waits for the service tries again while the service restarts."""

import time
from collections.abc import Callable

from attrs import define, field

from kedja_cli.errors import ServiceUnavailable

MAX_OUTAGE = 600.0
"""Seconds that an outage may last if nothing else limits the wait."""
_FIRST_DELAY = 1.0
_MAX_DELAY = 30.0


@define
class ReconnectBackoff:
    """Delays between requests during an outage, which may last `limit` seconds, or any time if that is None."""

    limit: float | None = MAX_OUTAGE
    clock: Callable[[], float] = time.monotonic
    _began: float | None = field(default=None, init=False)
    _delay: float = field(default=_FIRST_DELAY, init=False)

    @property
    def is_idle(self) -> bool:
        """Whether no outage is going on."""
        return self._began is None

    def next_delay(self, error: ServiceUnavailable) -> float:
        """Return the seconds to wait before the next request, more each time.

        Raises:
            ServiceUnavailable: `error` itself, if the outage has lasted too long.
        """
        now = self.clock()
        if self._began is None:
            self._began = now
        if self.limit is not None and now - self._began >= self.limit:
            raise error
        delay, self._delay = self._delay, min(2 * self._delay, _MAX_DELAY)
        return delay

    def reset(self) -> None:
        """End the outage: the service has answered."""
        self._began, self._delay = None, _FIRST_DELAY

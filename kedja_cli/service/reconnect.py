"""An outage: while the service is restarted, a command that waits for something asks again."""

import time
from collections.abc import Callable

from attrs import define, field

from kedja_cli.errors import ServiceAway

PATIENCE = 600.0
"""Seconds that an outage may last where nothing else limits the waiting."""
_FIRST = 1.0
_LONGEST = 30.0


@define
class Outage:
    """How long the service has not answered. Without `patience` it may stay away for good."""

    patience: float | None = PATIENCE
    clock: Callable[[], float] = time.monotonic
    _began: float | None = field(default=None, init=False)
    _pause: float = field(default=_FIRST, init=False)

    @property
    def is_new(self) -> bool:
        """Whether the service has answered since the last outage."""
        return self._began is None

    def pause(self, error: ServiceAway) -> float:
        """Return after how many seconds to ask again: longer each time.

        Raises:
            ServiceAway: the error itself, where the outage has lasted too long.
        """
        now = self.clock()
        if self._began is None:
            self._began = now
        if self.patience is not None and now - self._began >= self.patience:
            raise error
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST)
        return pause

    def over(self) -> None:
        """Note that the service has answered."""
        self._began, self._pause = None, _FIRST

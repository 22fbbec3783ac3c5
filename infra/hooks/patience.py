"""Trying again what Azure refuses only for a while."""

from collections.abc import Callable

import httpx
from attrs import frozen
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

from infra.hooks.errors import Refusal

DEADLINE = 600.0
"""Seconds: a role that was just assigned is in force everywhere within ten minutes."""

PAUSE = 10.0
PASSING = frozenset({403, 408, 429})
"""Statuses that may pass, beside those from 500 up."""


@frozen(kw_only=True)
class Patience:
    """Waits for roles that are new, for limits of rate, and for services and networks that fail for a moment.

    `passing` are the statuses below 500 that are worth another try.
    """

    say: Callable[[str], None]
    sleep: Callable[[float], None]
    passing: frozenset[int] = PASSING

    def until_it_works[T](self, work: Callable[[], T]) -> T:
        """Return what `work` returns, tried again until `DEADLINE`.

        Raises:
            Exception: the last failure of `work`, or the first one that waiting does not cure.
        """
        waited = 0.0
        while True:
            try:
                return work()
            except (Refusal, HttpResponseError) as error:
                if waited >= DEADLINE or not self._passes(error.status_code):
                    raise
                reason = f"Azure answers {error.status_code}"
            except (httpx.TransportError, ServiceRequestError, ServiceResponseError) as error:
                if waited >= DEADLINE:
                    raise
                reason = f"Azure cannot be reached ({type(error).__name__})"
            if not waited:
                self.say(f"{reason}; trying again for up to {DEADLINE / 60:.0f} minutes: new roles take a while.")
            self.sleep(PAUSE)
            waited += PAUSE

    def _passes(self, status: int | None) -> bool:
        return status is not None and (status in self.passing or status >= httpx.codes.INTERNAL_SERVER_ERROR)

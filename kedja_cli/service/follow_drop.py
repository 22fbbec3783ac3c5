"""Waiting for a drop: from its upload to the model that comes of it, or to why none does."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import quote

from attrs import define, field

from kedja_cli.errors import CommandError, Exit, ServiceAway
from kedja_cli.json_text import Json
from kedja_cli.service.api import Api, document
from kedja_cli.service.reconnect import Outage

FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})
ENDED_EARLY = frozenset({"failed", "canceled", "superseded"})
"""Dropping the same files again tries these again."""
_POLL = 1.0  # seconds

WORDS = {
    "waiting": "waiting",
    "queued": "queued: other jobs run first",
    "submitting": "submitting the job",
    "submitted": "submitted",
    "starting": "starting",
    "running": "running",
    "completed": "registering the model, copying its files",
    "registered": "registered",
}


@define
class Wait:
    """Looks at an experiment's latest receipt until it has come to its end."""

    api: Api
    experiment: str
    timeout: float | None = None
    """Seconds, or None to wait for good."""
    sleep: Callable[[float], None] = field(factory=lambda: time.sleep)
    clock: Callable[[], float] = field(factory=lambda: time.monotonic)
    _etag: str | None = field(default=None, init=False)
    _receipt: Json | None = field(default=None, init=False)
    _outage: Outage = field(init=False)
    _pause: float = field(default=_POLL, init=False)

    @_outage.default
    def _patient(self) -> Outage:
        return Outage(clock=self.clock) if self.timeout is None else Outage(None, self.clock)

    def receipts(self, newest: datetime | None) -> Iterator[Json]:
        """Yield the receipt each time that it has changed, the last time in a final status.

        `newest` is when storage took the newest file: receipts of older uploads are not meant.

        Raises:
            CommandError: where the time is over, or the service stops answering.
        """
        deadline = None if self.timeout is None else self.clock() + self.timeout
        told = None
        while True:
            receipt = self.covering(newest)
            if receipt is not None and receipt != told:
                told = receipt
                yield receipt
                if receipt["status"] in FINAL:
                    return
            self.sleep(self._until(deadline, told))

    def covering(self, newest: datetime | None) -> Json | None:
        """Return the latest receipt if it is of files as new as these, None where it is not, or there is none yet."""
        receipt = self._look()
        is_meant = receipt and (newest is None or datetime.fromisoformat(receipt["newest_upload"]) >= newest)
        return receipt if is_meant else None

    def _until(self, deadline: float | None, told: Json | None) -> float:
        """Return how long to wait before the next look. Raise CommandError where the time is over."""
        if deadline is None:
            return self._pause
        left = deadline - self.clock()
        if left <= 0:
            raise CommandError(
                f"{self.experiment} is {told['status'] if told else 'not taken yet'} after {self.timeout:g} s.",
                f"It goes on without you: kedja status {self.experiment}",
                code=Exit.TIMED_OUT,
            )
        return min(self._pause, left)

    def _look(self) -> Json | None:
        """Return the latest receipt: during an outage the one that was seen last; None where there is none."""
        path = f"/api/drops/{quote(self.experiment, safe='')}/latest"
        try:
            answer = self.api.request("GET", path, headers={"If-None-Match": self._etag} if self._etag else {})
        except CommandError as error:
            if error.code is Exit.NOT_FOUND:
                return None
            if not isinstance(error, ServiceAway):
                raise
            self._pause = self.api.wait_out(self._outage, error)
            return self._receipt
        self._outage.over()
        self._pause = _POLL
        if answer.status_code != 304:  # noqa: PLR2004 - Not Modified
            self._etag, self._receipt = answer.headers.get("ETag"), document(answer)
        return self._receipt


def stage(receipt: Json) -> str:
    """Return where a drop is, in words."""
    status: str = receipt["status"]
    if status == "registered" and receipt.get("model"):
        return f"registered as {receipt['model']['model']}:{receipt['model']['version']}"
    reason = receipt.get("reason")
    words = WORDS.get(status, status.replace("_", " "))
    return f"{words}: {reason}" if reason else words


def check_success(receipt: Json) -> None:
    """Raise CommandError where the drop ended without a model."""
    if receipt["status"] != "registered":
        raise CommandError(
            f"{receipt['experiment']} is {receipt['status'].replace('_', ' ')}"
            + (f": {receipt['reason']}" if receipt.get("reason") else "."),
            receipt.get("what_to_do"),
            code=Exit.UNSUCCESSFUL,
        )

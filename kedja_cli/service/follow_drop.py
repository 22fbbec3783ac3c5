"""Waits for a drop: from its upload to its model, or to the reason why there is none."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import quote

from attrs import define, field

from kedja_cli.errors import CommandError, Exit, ServiceUnavailable
from kedja_cli.json_text import Json
from kedja_cli.service.api import Api, parse_json
from kedja_cli.service.reconnect import ReconnectBackoff

FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})
"""Statuses after which nothing more happens to a drop by itself."""
RETRYABLE = frozenset({"failed", "canceled", "superseded"})
"""Statuses after which dropping the same files again runs the job again."""
_POLL = 1.0  # seconds

STAGES = {
    "waiting": "waiting",
    "queued": "queued: other jobs run first",
    "submitting": "submitting the job",
    "submitted": "submitted",
    "starting": "starting",
    "running": "running",
    "completed": "registering the model and copying its files",
    "registered": "registered",
}
WAITING_FOR = {
    "files": "waiting for files",
    "compute": "waiting for a compute",
    "approval": "waiting for approval",
    "training-service": "waiting for the training service",
}
"""What a drop that is `waiting` waits for, by the receipt's `waiting_for`."""


@define
class DropFollower:
    """Polls an experiment's latest receipt until its status is final."""

    api: Api
    experiment: str
    timeout: float | None = None
    """Seconds, or None to wait without limit."""
    sleep: Callable[[float], None] = field(factory=lambda: time.sleep)
    clock: Callable[[], float] = field(factory=lambda: time.monotonic)
    _etag: str | None = field(default=None, init=False)
    _receipt: Json | None = field(default=None, init=False)
    _backoff: ReconnectBackoff = field(init=False)
    _delay: float = field(default=_POLL, init=False)

    @_backoff.default
    def _default_backoff(self) -> ReconnectBackoff:
        return ReconnectBackoff(clock=self.clock) if self.timeout is None else ReconnectBackoff(None, self.clock)

    def receipts(self, newest: datetime | None) -> Iterator[Json]:
        """Yield the receipt each time that it has changed, until its status is final.

        `newest` is when the newest file was written to storage: receipts of older uploads are skipped.

        Raises:
            CommandError: If the time is over, or the service stops answering.
        """
        deadline = None if self.timeout is None else self.clock() + self.timeout
        previous = None
        while True:
            receipt = self.latest_since(newest)
            if receipt is not None and receipt != previous:
                previous = receipt
                yield receipt
                if receipt["status"] in FINAL:
                    return
            self.sleep(self._next_delay(deadline, previous))

    def latest_since(self, newest: datetime | None) -> Json | None:
        """Return the latest receipt, or None if there is none yet or its newest file is older than `newest`.

        Raises:
            CommandError: If the service refuses, or stops answering.
        """
        receipt = self._read_latest()
        is_new_enough = receipt and (newest is None or datetime.fromisoformat(receipt["newest_upload"]) >= newest)
        return receipt if is_new_enough else None

    def _next_delay(self, deadline: float | None, previous: Json | None) -> float:
        """Return the seconds until the next poll. Raise CommandError if the time is over."""
        if deadline is None:
            return self._delay
        left = deadline - self.clock()
        if left <= 0:
            status = previous["status"] if previous else "not processed yet"
            raise CommandError(
                f"{self.experiment} is {status} after {self.timeout:g} s.",
                f"The drop continues. Check it with: kedja status {self.experiment}",
                code=Exit.TIMED_OUT,
            )
        return min(self._delay, left)

    def _read_latest(self) -> Json | None:
        """Return the latest receipt, or None if there is none; during an outage, the one that was read last."""
        path = f"/api/drops/{quote(self.experiment, safe='')}/latest"
        try:
            response = self.api.request("GET", path, headers={"If-None-Match": self._etag} if self._etag else {})
        except CommandError as error:
            if error.code is Exit.NOT_FOUND:
                return None
            if not isinstance(error, ServiceUnavailable):
                raise
            self._delay = self.api.reconnect_delay(self._backoff, error)
            return self._receipt
        self._backoff.reset()
        self._delay = _POLL
        if response.status_code != 304:  # noqa: PLR2004 - Not Modified
            self._etag, self._receipt = response.headers.get("ETag"), parse_json(response)
        return self._receipt


def describe_stage(receipt: Json) -> str:
    """Describe the status of a drop to a person."""
    status: str = receipt["status"]
    if status == "registered" and receipt.get("model"):
        return f"registered as {receipt['model']['model']}:{receipt['model']['version']}"
    reason = receipt.get("reason")
    words = STAGES.get(status, status.replace("_", " "))
    if status == "waiting":
        words = WAITING_FOR.get(receipt.get("waiting_for") or "", words)
    return f"{words}: {reason}" if reason else words


def check_success(receipt: Json) -> None:
    """Check that a drop has a model.

    Raises:
        CommandError: If it ended without one, with the reason and what to do.
    """
    if receipt["status"] != "registered":
        raise CommandError(
            f"{receipt['experiment']} is {receipt['status'].replace('_', ' ')}"
            + (f": {receipt['reason']}" if receipt.get("reason") else "."),
            receipt.get("what_to_do"),
            code=Exit.UNSUCCESSFUL,
        )

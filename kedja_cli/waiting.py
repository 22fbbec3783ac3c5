"""Waiting for a drop: from its upload to the model that comes of it, or to why none does."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from urllib.parse import quote

from attrs import define, field

from kedja_cli.api import Api
from kedja_cli.documents import Json
from kedja_cli.errors import CommandError, Exit

FINAL = frozenset({"registered", "not_registered", "rejected", "failed", "canceled", "superseded"})
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
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _etag: str | None = field(default=None, init=False)
    _receipt: Json | None = field(default=None, init=False)

    def receipts(self, newest: datetime | None) -> Iterator[Json]:
        """Yield the receipt each time that it has changed, the last time in a final status.

        `newest` is when storage took the newest file: receipts of older uploads are not meant.

        Raises:
            CommandError: where the time is over.
        """
        deadline = None if self.timeout is None else self.clock() + self.timeout
        told = None
        while True:
            receipt = self._look()
            meant = receipt is not None and (
                newest is None or datetime.fromisoformat(receipt["newest_upload"]) >= newest
            )
            if receipt is not None and meant and receipt != told:
                told = receipt
                yield receipt
                if receipt["status"] in FINAL:
                    return
            if deadline is not None and self.clock() > deadline:
                state = told["status"] if told else "not taken yet"
                raise CommandError(
                    f"{self.experiment} is {state} after {self.timeout:g} s.",
                    f"It goes on without you: kedja status {self.experiment}",
                )
            self.sleep(_POLL)

    def _look(self) -> Json | None:
        """Return the latest receipt, None where there is none yet."""
        path = f"/api/drops/{quote(self.experiment, safe='')}/latest"
        try:
            answer = self.api.request("GET", path, headers={"If-None-Match": self._etag} if self._etag else {})
        except CommandError as error:
            if error.code is Exit.NOT_FOUND:
                return None
            raise
        if answer.status_code != 304:  # noqa: PLR2004 - Not Modified
            self._etag, self._receipt = answer.headers.get("ETag"), answer.json()
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

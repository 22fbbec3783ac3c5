"""Poison: messages that failed ten times are kept, with their reason, where they can be read."""

import logging
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import Receipt
from function_app.errors import KedjaError
from function_app.operations.training_requests import TrainingRequests
from function_app.ports.storage import Blobs
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

REASON_LISTED = 500
"""Characters of a reason that a listing tells."""


class PoisonMessage(Document):
    """`receipts/.poison/<queue>/<id>.json`: the message, and why it could not be worked on."""

    queue: str
    message: str
    body: str
    reason: str
    at: datetime


@frozen(kw_only=True)
class PoisonCabinet:
    """Keeps poison messages."""

    blobs: Blobs
    receipts: Receipts
    requests: TrainingRequests

    def take(self, queue: str, message: str, body: bytes, work: Callable[[], object]) -> PoisonMessage | None:
        """Work on the message once more; keep it with its reason where that fails too.

        The last try is what tells the reason: the queue does not know it.
        """
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be lost
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
        text = self.requests.without_spec(body.decode(errors="replace"), of=message)
        poison = PoisonMessage(queue=queue, message=message, body=text, reason=reason, at=self.receipts.clock())
        metadata = {"at": poison.at.isoformat(), "reason": quote(reason[:REASON_LISTED])}  # headers, so ASCII only
        self.blobs.replace(naming.RECEIPTS, naming.poison_blob(queue, message), poison.encoded(), metadata=metadata)
        logger.error("A message of %s is kept as poison: %s", queue, reason)
        return poison

    def draw_attention(self, poison: PoisonMessage, receipt: Receipt | None) -> None:
        """Note on a receipt that one of its messages could not be worked on. Its status stays what it is."""
        if receipt is None:
            return
        note = f"A message of {poison.queue} could not be worked on: {poison.reason} ({poison.message})"
        try:
            self.receipts.change(receipt, lambda current: current.noting(note))
        except KedjaError:
            logger.exception("The receipt %s could not be told of a poison message.", receipt.name)

"""Poison messages: messages that failed ten times are kept in storage, with the reason."""

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
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs
from function_app.store.receipts import Receipts

logger = logging.getLogger(__name__)

REASON_LISTED = 500
"""Max characters of a reason in a listing."""


class PoisonMessage(Document):
    """`receipts/.poison/<queue>/<id>.json`: the message, and why it could not be processed."""

    queue: str
    message: str
    body: str
    reason: str
    at: datetime


@frozen(kw_only=True)
class PoisonStore:
    """Keeps poison messages, and notes them on receipts."""

    blobs: Blobs
    clock: Clock
    receipts: Receipts
    training_requests: TrainingRequests

    def retry_or_keep(self, queue: str, message: str, body: bytes, work: Callable[[], object]) -> PoisonMessage | None:
        """Process the message once more; keep it with the reason if that fails too.

        Only this last try provides the reason: the queue does not record it.
        """
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the message must not be lost, whatever the error
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
        text = self.training_requests.without_spec(body.decode(errors="replace"), of=message)
        poison = PoisonMessage(queue=queue, message=message, body=text, reason=reason, at=self.clock())
        metadata = {"at": poison.at.isoformat(), "reason": quote(reason[:REASON_LISTED])}  # headers, so ASCII only
        self.blobs.replace(naming.RECEIPTS, naming.poison_blob(queue, message), poison.to_bytes(), metadata=metadata)
        logger.error("A message of %s was kept as poison: %s", queue, reason)
        return poison

    def note_on_receipt(self, poison: PoisonMessage, receipt: Receipt | None) -> None:
        """Note on a receipt that one of its messages could not be processed. Its status stays the same."""
        if receipt is None:
            return
        note = f"A message of {poison.queue} could not be processed: {poison.reason} ({poison.message})"
        try:
            self.receipts.change(receipt, lambda current: current.with_attention(note))
        except KedjaError:
            logger.exception("A poison message could not be noted on the receipt %s.", receipt.name)

"""Receipts in storage: conditional writes, the index by time, and the marks of open receipts."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from attrs import field, frozen

from function_app.domain import naming
from function_app.domain.cloud_events import EventsRejected, OutgoingEvent, Publisher, PublishingFailed
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import FINAL, Receipt
from function_app.errors import Conflict, NotFound, PreconditionFailed
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Lease, get_if_there, iter_items
from function_app.store.journal import Entry, Journal
from function_app.store.latest_drop import LatestDrop

logger = logging.getLogger(__name__)

Edit = Callable[[Receipt], Receipt]

ATTEMPTS_TO_WRITE = 20
"""Max tries of a conditional write. Each conflict means that another writer succeeded."""

REFUSED_FOR = timedelta(hours=24)
"""How long to keep resending an event that the topic refuses: the topic may be misconfigured."""


class ReceiptBusy(Conflict):
    """The receipt is leased, such as by a registration, or changes too often: try again in a few seconds."""

    code = "busy"
    title = "The receipt is being written."
    wait = 10


@frozen(kw_only=True)
class ReceiptSummary:
    """An entry in a list of receipts."""

    experiment: str
    drop: str
    received_at: datetime
    updated_at: datetime
    status: str
    job: str | None
    model: str | None

    @classmethod
    def of(cls, ref: DropRef, metadata: Mapping[str, str]) -> Self:
        """Read the listing metadata of a receipt, or of its index entry."""
        return cls(
            experiment=ref.experiment,
            drop=ref.drop,
            received_at=datetime.fromisoformat(metadata["received"]),
            updated_at=datetime.fromisoformat(metadata.get("updated", metadata["received"])),
            status=metadata["status"],
            job=metadata.get("job"),
            model=metadata.get("model"),
        )

    @property
    def ref(self) -> DropRef:
        """Which drop it is about."""
        return DropRef(self.experiment, self.drop)


@frozen
class Receipts:
    """The receipts of an account."""

    blobs: Blobs
    publisher: Publisher = field(repr=False)
    clock: Clock

    @property
    def journal(self) -> Journal:
        """The journal of changes and published events."""
        return Journal(self.blobs, self.clock)

    def load(self, ref: DropRef) -> Receipt:
        """Return a receipt.

        Raises:
            NotFound: there is no such receipt.
        """
        return self._read(ref)[0]

    def read(self, ref: DropRef) -> tuple[Receipt, str]:
        """Return a receipt and its ETag.

        Raises:
            NotFound: there is no such receipt.
        """
        return self._read(ref)

    def find(self, ref: DropRef) -> Receipt | None:
        """Return a receipt, or None if there is none."""
        try:
            return self.load(ref)
        except NotFound:
            return None

    def of_job(self, job: str) -> Receipt | None:
        """Return the receipt with an attempt of this name, or None if there is none."""
        parts = naming.JOB_NAME.fullmatch(job)
        if parts is None:
            return None
        slug = parts["experiment"]
        page = self.blobs.page(naming.RECEIPTS, f"{slug}/{parts['drop']}", size=2)
        found = (self.find(DropRef.of_blob(item.name)) for item in page.items)
        return next((receipt for receipt in found if receipt and receipt.has_job(job)), None)

    def create(self, receipt: Receipt) -> Receipt:
        """Write a new receipt, or return the receipt that another caller wrote first."""
        name = naming.receipt_blob(receipt.ref)
        try:
            self.blobs.create(naming.RECEIPTS, name, receipt.to_bytes(), metadata=_metadata(receipt))
        except PreconditionFailed:
            return self.load(receipt.ref)
        self.write_index(receipt)
        return receipt

    def change(self, receipt: Receipt, edit: Edit, *, lease: Lease | None = None) -> Receipt:
        """Apply `edit` to the current receipt and write it; repeat that after a conflict with another writer.

        If the edit returns an equal receipt, nothing is written.

        Raises:
            NotFound: the receipt was deleted.
            ReceiptBusy: another caller holds a lease on it.
        """
        lost = ""
        for _ in range(ATTEMPTS_TO_WRITE):
            current, etag = self._read(receipt.ref)
            if etag == lost:
                break
            changed = edit(current)
            if changed == current:
                return current
            changed = changed.replace(updated_at=self.clock())
            name = naming.receipt_blob(receipt.ref)
            try:
                self.blobs.replace(
                    naming.RECEIPTS, name, changed.to_bytes(), etag=etag, metadata=_metadata(changed), lease=lease
                )
            except PreconditionFailed:
                lost = etag
                continue
            self.write_index(changed)
            return changed
        raise ReceiptBusy(
            f"The receipt {receipt.name} is locked while a registration is in progress. Try again in a minute."
        )

    def publish_outbox(self, receipt: Receipt, *, lease: Lease | None = None) -> Receipt:
        """Publish and remove the events in the outbox; clear the open mark if nothing is left to do.

        Events that were not accepted stay and are sent again with the same id. An event that the topic refuses does not
        hold up others and stays for a day; then it is dropped, and the receipt reports it.
        """
        if receipt.outbox:
            receipt = self._publish(receipt, lease)
        return self.clear_open_mark(receipt, _is_over) if _is_over(receipt) else receipt

    def _publish(self, receipt: Receipt, lease: Lease | None) -> Receipt:
        refused: Sequence[OutgoingEvent] = ()
        try:
            self.publisher.publish(receipt.outbox)
        except EventsRejected as refusal:
            logger.warning("Events of %s stay in its outbox: %s", receipt.name, refusal)
            refused = refusal.refused
        except PublishingFailed as failure:
            logger.warning("The events of %s stay in its outbox: %s", receipt.name, failure)
            return receipt
        kept = {one.id for one in refused}
        sent = [one for one in receipt.outbox if one.id not in kept]
        given_up = [one for one in refused if self.clock() - one.time > REFUSED_FOR]
        self.journal.append(
            Entry(kind="event", experiment=receipt.experiment, data=one.model_dump(mode="json")) for one in sent
        )

        def edit(current: Receipt) -> Receipt:
            emptied = current.without_events([*sent, *given_up])
            if not given_up:
                return emptied
            ids = ", ".join(one.id for one in given_up)
            return emptied.with_attention(
                f"These events were not published, since the topic refused them for a day: {ids}."
            )

        return self.change(receipt, edit, lease=lease)

    def clear_open_mark(self, receipt: Receipt, is_over: Callable[[Receipt], bool]) -> Receipt:
        """Delete the mark that `set_open_mark` wrote if the receipt `is_over`, unless it was reopened since.

        Reopening writes the receipt first, then the mark. So if the mark is still the same as before
        the receipt was read, the receipt was not reopened.
        """
        name = naming.open_blob(receipt.ref)
        mark = self.blobs.get(naming.RECEIPTS, name)
        if mark is None:
            return receipt
        receipt = self.load(receipt.ref)
        if is_over(receipt):
            self.write_index(receipt)  # a call that was killed may have written the receipt but not its index
            with contextlib.suppress(PreconditionFailed):
                self.blobs.delete(naming.RECEIPTS, name, etag=mark.etag)
        return receipt

    def park(self, receipt: Receipt, waits: Callable[[Receipt], bool]) -> Receipt:
        """Delete the open mark of a receipt that only `waits`; return the current receipt."""
        self.clear_open_mark(receipt, waits)
        receipt = self.load(receipt.ref)
        if not waits(receipt):  # just claimed, and its host may have been killed right after that
            self.set_open_mark(receipt.ref)
        return receipt

    def set_open_mark(self, ref: DropRef) -> None:
        """Mark a receipt as open: it still has work to do."""
        self.blobs.replace(naming.RECEIPTS, naming.open_blob(ref), b"")

    def list_open(self, experiment: str | None = None) -> Iterator[DropRef]:
        """Yield the drops with open receipts."""
        prefix = naming.open_prefix(experiment) if experiment else naming.OPEN
        for item in iter_items(self.blobs, naming.RECEIPTS, prefix):
            yield DropRef.of_blob(item.name)

    def latest(self, experiment: str) -> LatestDrop | None:
        """Return the experiment's latest drop. Raise Unreadable if `latest.json` is damaged."""
        found = LatestDrop.read(self.blobs, experiment)
        return found[0] if found else None

    def advance(self, receipt: Receipt) -> LatestDrop:
        """Make the receipt's drop its experiment's latest unless a newer drop is; return the latest drop.

        Raises:
            ReceiptBusy: `latest.json` changes too often.
        """
        name, new = naming.latest_blob(receipt.experiment), LatestDrop.of(receipt)
        for _ in range(ATTEMPTS_TO_WRITE):
            found = LatestDrop.read(self.blobs, receipt.experiment)
            try:
                if found is None:
                    self.blobs.create(naming.RECEIPTS, name, new.to_bytes())
                    return new
                before, etag = found
                following = before.merge(new)
                if following != before:
                    self.blobs.replace(naming.RECEIPTS, name, following.to_bytes(), etag=etag)
            except PreconditionFailed:
                continue
            return following
        raise ReceiptBusy(f"{name} could not be written, because it keeps changing. Try again.")

    def page(self, *, size: int, token: str | None = None) -> tuple[Sequence[ReceiptSummary], str | None]:
        """Return a page of receipts, newest first, and the token of the next page. One call to storage."""
        page = self.blobs.page(naming.RECEIPTS, ".by-time/", size=size, token=token)
        return [ReceiptSummary.of(DropRef.of_blob(item.name), item.metadata) for item in page.items], page.token

    def page_of(
        self, experiment: str, *, size: int, token: str | None = None
    ) -> tuple[list[ReceiptSummary], str | None]:
        """Return a page of an experiment's receipts, by id, and the token of the next page. One call to storage."""
        page = self.blobs.page(naming.RECEIPTS, f"{experiment}/", size=size, token=token)
        found = (item for item in page.items if "status" in item.metadata)
        return [ReceiptSummary.of(DropRef.of_blob(item.name), item.metadata) for item in found], page.token

    def _read(self, ref: DropRef) -> tuple[Receipt, str]:
        found = Receipt.read_document(self.blobs, naming.RECEIPTS, naming.receipt_blob(ref))
        if found is None:
            raise NotFound(f"There is no receipt {ref}.")
        return found

    def write_index(self, receipt: Receipt) -> None:
        """Write the receipt's entry in the index by time, even if it changes meanwhile, and add it to the journal."""
        name = naming.by_time_blob(receipt.received_at, receipt.ref)
        metadata: Mapping[str, str] = _metadata(receipt)
        for _ in range(ATTEMPTS_TO_WRITE):
            self.blobs.replace(naming.RECEIPTS, name, b"", metadata=metadata)
            now = get_if_there(self.blobs, naming.RECEIPTS, naming.receipt_blob(receipt.ref))
            if now is None:  # it was deleted meanwhile
                self.blobs.delete(naming.RECEIPTS, name)
                return
            if now.metadata == metadata:
                line = {"drop": receipt.drop, "metadata": dict(metadata)}
                self.journal.append([Entry(kind="drop", experiment=receipt.experiment, data=line)])
                return
            metadata = now.metadata


def _is_over(receipt: Receipt) -> bool:
    return receipt.status in FINAL and not receipt.outbox


def _metadata(receipt: Receipt) -> dict[str, str]:
    """Return the listing metadata of a receipt. Metadata are headers, so ASCII only."""
    values: dict[str, Any] = {
        "status": receipt.status.value,
        "received": receipt.received_at.isoformat(),
        "updated": receipt.updated_at.isoformat(),
        "job": receipt.job,
        "model": f"{receipt.model.model}:{receipt.model.version}" if receipt.model else None,
        "forgotten": ",".join(receipt.forgotten),
    }
    return {key: value for key, value in values.items() if value}

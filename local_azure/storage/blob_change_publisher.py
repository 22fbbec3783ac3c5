"""Publishes changes of blobs to Event Grid, in the background."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import attrs
import httpx
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from local_azure.credentials import ACCOUNT_KEY, ACCOUNT_NAME
from local_azure.storage.blob_change import BlobChange, BlobFacts, event_of

_BATCH = 64  # events in one request: below 1 MB whatever their names
_CLIENT_ERRORS = range(400, 500)

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Pauses:
    """Pauses of a publisher, in seconds."""

    copy: float = 0.5
    """Interval between checks of a pending copy."""
    first: float = 0.1
    """Delay before the second attempt to publish; it doubles with each further attempt."""
    longest: float = 5.0
    """Max delay between two attempts."""


PAUSES = Pauses()


class BlobChangePublisher:
    """Publishes changes to the topic at `topic_url`, in the order of `add`.

    While Event Grid does not answer, at most `capacity` changes are queued; the rest is logged and lost, so that
    storage clients are never blocked. A change that Event Grid rejects as invalid is logged and lost too.
    """

    def __init__(
        self,
        *,
        topic_url: str,
        topic_key: str,
        public_endpoint: str,
        upstream: str,
        http: httpx.AsyncClient,
        capacity: int = 10_000,
        pauses: Pauses = PAUSES,
    ) -> None:
        self._topic_url = topic_url
        self._topic_key = topic_key
        self._public_endpoint = public_endpoint
        self._http = http
        self._pauses = pauses
        credential = {"account_name": ACCOUNT_NAME, "account_key": ACCOUNT_KEY}
        self._blobs = BlobServiceClient(f"{upstream.rstrip('/')}/{ACCOUNT_NAME}", credential=credential)
        self._queue: asyncio.Queue[BlobChange] = asyncio.Queue(capacity)
        self._copies: set[asyncio.Task[None]] = set()

    def add(self, change: BlobChange) -> None:
        """Queue a change for publication; return immediately."""
        if change.copy_pending:
            task = asyncio.get_running_loop().create_task(self._add_when_copied(change))
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)
            return
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            _log.error(
                "The event of %s is lost: %d events are already queued for Event Grid.",
                _name(change),
                self._queue.qsize(),
            )

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            changes = [await self._queue.get()]
            while len(changes) < _BATCH and not self._queue.empty():
                changes.append(self._queue.get_nowait())
            events = await asyncio.gather(*(self._event(change) for change in changes))
            await self._publish(events)
            for _ in changes:
                self._queue.task_done()

    async def flush(self, timeout: float) -> None:  # noqa: ASYNC109 - a timeout is logged, not raised
        """Wait up to `timeout` seconds until all changes are published."""
        for task in self._copies:
            task.cancel()
            _log.error("A copy is still in progress; its event is lost.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), timeout)
            return
        _log.error("Event Grid did not accept events within %g s: those of the last blobs are lost.", timeout)

    async def close(self) -> None:
        """Close the connections to storage."""
        await asyncio.to_thread(self._blobs.close)

    async def _add_when_copied(self, change: BlobChange) -> None:
        blob = self._blobs.get_blob_client(change.operation.container, change.operation.blob)
        while True:
            await asyncio.sleep(self._pauses.copy)
            try:
                status = (await asyncio.to_thread(blob.get_blob_properties)).copy.status
            except AzureError as error:
                _log.warning("%s raises no event, as the status of the copy cannot be read: %s", _name(change), error)
                return
            if status != "pending":
                break
        if status == "success":
            self.add(attrs.evolve(change, copy_pending=False))

    async def _event(self, change: BlobChange) -> dict[str, Any]:
        facts = await asyncio.to_thread(self._facts, change) if change.operation.needs_properties else None
        return event_of(change, facts, self._public_endpoint)

    def _facts(self, change: BlobChange) -> BlobFacts | None:
        """Read the blob's properties. If it was overwritten or deleted meanwhile, that raises another event."""
        blob = self._blobs.get_blob_client(change.operation.container, change.operation.blob)
        try:
            properties = blob.get_blob_properties()
        except AzureError as error:
            _log.warning("The event of %s does not state the blob's size: %s", _name(change), error)
            return None
        return BlobFacts(
            content_type=properties.content_settings.content_type or "application/octet-stream",
            content_length=properties.size,
            blob_type=properties.blob_type.value if properties.blob_type else "BlockBlob",
        )

    async def _publish(self, events: Iterable[dict[str, Any]]) -> None:
        events = list(events)
        pause = self._pauses.first
        while True:
            try:
                response = await self._http.post(
                    self._topic_url,
                    params={"api-version": "2018-01-01"},
                    headers={"aeg-sas-key": self._topic_key},
                    json=events,
                )
            except httpx.TransportError as error:
                problem = repr(error)
            else:
                if response.is_success:
                    return
                problem = f"{response.status_code} {response.text[:200]}"
                if response.status_code in _CLIENT_ERRORS:
                    _log.error("Event Grid rejected %d events of blobs, which are lost: %s", len(events), problem)
                    return
            _log.warning("Event Grid at %s did not accept events; retry in %g s: %s", self._topic_url, pause, problem)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._pauses.longest)


def _name(change: BlobChange) -> str:
    return f"{change.operation.api} of {change.operation.container}/{change.operation.blob}"

"""Tells Event Grid of changed blobs, behind the back of the clients that changed them."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import attrs
import httpx
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobServiceClient

from local_azure.storage.azurite import ACCOUNT_KEY, ACCOUNT_NAME
from local_azure.storage.blob_change import BlobChange, BlobFacts, event_of

_BATCH = 64  # events in one request: below 1 MB whatever their names
_CLIENT_ERRORS = range(400, 500)

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Pauses:
    """Pauses of a publisher, in seconds."""

    copy: float = 0.5
    """Interval between looks at a pending copy."""
    first: float = 0.1
    """Delay before the second attempt to reach Event Grid; it doubles with each further one."""
    longest: float = 5.0
    """Max delay between two attempts."""


PAUSES = Pauses()


class BlobChangePublisher:
    """Publishes changes to the topic at `topic_url`, in the order in which they came.

    At most `capacity` changes wait for an Event Grid that does not answer; what comes after is logged and lost, as
    nothing may hold up the storage's clients. A change that Event Grid refuses as wrong is logged and lost, too.
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
        """Take a change to publish; returns at once."""
        if change.copy_pending:
            task = asyncio.get_running_loop().create_task(self._add_when_copied(change))
            self._copies.add(task)
            task.add_done_callback(self._copies.discard)
            return
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            _log.error("%s is lost: %d events wait for Event Grid already.", _name(change), self._queue.qsize())

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

    async def flush(self, timeout: float) -> None:  # noqa: ASYNC109 - what is left is counted, not raised
        """Wait until all that was added is published, for at most `timeout` seconds."""
        for task in self._copies:
            task.cancel()
            _log.error("A copy is still under way; its event is lost.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), timeout)
            return
        _log.error("Event Grid did not take events within %g s: those of the last blobs are lost.", timeout)

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
                _log.warning("%s raises no event, its copy cannot be read: %s", _name(change), error)
                return
            if status != "pending":
                break
        if status == "success":
            self.add(attrs.evolve(change, copy_pending=False))

    async def _event(self, change: BlobChange) -> dict[str, Any]:
        facts = await asyncio.to_thread(self._facts, change) if change.operation.needs_properties else None
        return event_of(change, facts, self._public_endpoint)

    def _facts(self, change: BlobChange) -> BlobFacts | None:
        """Ask the blob, which may be a later version or gone; either has an event of its own to come."""
        blob = self._blobs.get_blob_client(change.operation.container, change.operation.blob)
        try:
            properties = blob.get_blob_properties()
        except AzureError as error:
            _log.warning("The event of %s goes without the blob's size: %s", _name(change), error)
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
                    _log.error("Event Grid refuses %d events of blobs, which are lost: %s", len(events), problem)
                    return
            _log.warning("Event Grid at %s does not take events; again in %g s: %s", self._topic_url, pause, problem)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._pauses.longest)


def _name(change: BlobChange) -> str:
    return f"{change.operation.api} of {change.operation.container}/{change.operation.blob}"

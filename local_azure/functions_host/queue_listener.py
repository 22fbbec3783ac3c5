"""The queue trigger, with the real host's timings: polling, lease, dequeue count, poison queue, Base64.

The rules follow QueueListener, QueueProcessor, QueueServiceClientProvider and RandomizedExponentialBackoffStrategy
of Microsoft.Azure.WebJobs.Extensions.Storage.Queues.

While a message is processed, it is invisible for the duration of a lease, which is renewed after half its time. The
real host's lease is 600 seconds, so after a kill -9 its messages reappear up to ten minutes later. On one machine, a
shorter lease speeds up that recovery; it changes nothing else, since it is renewed while the function runs.
"""

import asyncio
import base64
import contextlib
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final

from attrs import frozen
from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from local_azure.clock import Clock
from local_azure.errors import LocalAzureError
from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.settings import QueueOptions

_log = logging.getLogger(__name__)

REAL_LEASE: Final = 600.0
"""Seconds for which the real host hides a message that it processes."""

POISON_SUFFIX: Final = "-poison"

_MIN_POLL_DELAY: Final = 0.1
_MIN_RENEWAL_DELAY: Final = 60.0
_CONFLICT: Final = 409

Execute = Callable[[TypedData, Mapping[str, TypedData]], Awaitable[bool]]
"""Runs the function with a message and its trigger metadata; returns whether it succeeded."""


class QueueRefused(LocalAzureError):
    """The queue service permanently refuses the host's requests."""


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - not for security: it spreads polls


class PollingDelay:
    """The delay before the next poll: 100 ms after a message, then roughly doubling, up to a maximum."""

    def __init__(self, longest: float, jitter: Callable[[], float] = _jitter) -> None:
        self._longest = longest
        self._jitter = jitter
        self._current = min(_MIN_POLL_DELAY, longest)
        self._exponent = 1

    def next(self, *, found_message: bool) -> float:
        """Return the delay in seconds."""
        if found_message:
            self._current = min(_MIN_POLL_DELAY, self._longest)
            self._exponent = 1
        elif self._current != self._longest:
            self._current = min(
                _MIN_POLL_DELAY + self._jitter() * 2 ** (self._exponent - 1) * _MIN_POLL_DELAY, self._longest
            )
            self._exponent += 1
        return self._current


@frozen(kw_only=True)
class QueueTrigger:
    """The queue of a listener, and its options. `lease` is in whole seconds."""

    queue: QueueClient
    poison: QueueClient | None
    """The queue for messages that failed too often; None for a queue that is itself a poison queue."""
    options: QueueOptions
    lease: float = REAL_LEASE


class QueueListener:
    """Runs a function for each message of a queue. Like the real host, it waits for a queue that does not exist."""

    def __init__(self, trigger: QueueTrigger, execute: Execute, clock: Clock) -> None:
        self._queue = trigger.queue
        self._poison = trigger.poison
        self._options = trigger.options
        self._lease = trigger.lease
        self._execute = execute
        self._clock = clock
        self._delay = PollingDelay(trigger.options.max_polling_interval)
        self._processing: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Poll until cancelled; messages in process continue, and `drain` waits for them.

        Raises:
            QueueRefused: storage refuses the requests (wrong key, missing permission, invalid queue name).
        """
        found = False
        while True:
            messages = await self._receive()
            for message in messages:
                task = asyncio.create_task(self._process(message))
                self._processing.add(task)
                task.add_done_callback(self._processing.discard)
            if messages:
                found = True
                await self._wait_for_capacity()
            else:
                await self._clock.sleep(self._delay.next(found_message=found))
                found = False

    async def drain(self, seconds: float) -> int:
        """Wait up to `seconds` for messages in process; return how many are left. These stay leased."""
        if self._processing:
            await asyncio.wait(self._processing, timeout=seconds)
        return len(self._processing)

    async def _receive(self) -> list[QueueMessage]:
        call = asyncio.create_task(asyncio.to_thread(self._receive_page))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            await self._release(call)
            raise
        except HttpResponseError as error:
            gone = isinstance(error, ResourceNotFoundError) or error.status_code == _CONFLICT
            if not gone and error.status_code is not None and error.status_code < 500:  # noqa: PLR2004 - HTTP's own
                raise QueueRefused(
                    f"Queue {self._queue.queue_name} refuses the host's requests: {error.message}"
                ) from error
            if not gone:
                _log.warning("Queue %s cannot be read: %s", self._queue.queue_name, error.reason)
        except AzureError as error:
            _log.warning("Queue %s cannot be reached: %s", self._queue.queue_name, error)
        return []

    async def _release(self, call: "asyncio.Task[list[QueueMessage]]") -> None:
        """Make the messages of a cancelled poll visible again, instead of when their lease ends."""
        with contextlib.suppress(AzureError):
            for message in await call:
                await self._complete(message, self._queue.update_message, visibility_timeout=0)

    def _receive_page(self) -> list[QueueMessage]:
        pages = self._queue.receive_messages(
            messages_per_page=self._options.batch_size, visibility_timeout=int(self._lease)
        ).by_page()
        return list(next(pages, ()))

    async def _wait_for_capacity(self) -> None:
        while len(self._processing) > self._options.new_batch_threshold:
            await asyncio.wait(self._processing, return_when=asyncio.FIRST_COMPLETED)

    async def _process(self, message: QueueMessage) -> None:
        """Process a message. Errors of storage are logged, and the message reappears when its lease ends."""
        try:
            await self._process_or_raise(message)
        except AzureError:
            _log.exception("Message %s of queue %s cannot be completed.", message.id, self._queue.queue_name)

    async def _process_or_raise(self, message: QueueMessage) -> None:
        count = message.dequeue_count or 0
        content = message.content or ""
        try:
            body = _decode(content) if self._options.base64 else content.encode()
        except ValueError:
            _log.warning(
                "Message %s of queue %s is not Base64; check messageEncoding in host.json.",
                message.id,
                self._queue.queue_name,
            )
            await self._move_to_poison(message)
            return
        if count > self._options.max_dequeue_count:
            await self._move_to_poison(message)
            return
        if await self._run(message, body):
            await self._complete(message, self._queue.delete_message)
        elif self._poison is None:
            # It stays invisible until its lease ends, so that it is not retried immediately.
            pass
        elif count >= self._options.max_dequeue_count:
            await self._move_to_poison(message)
        else:
            await self._complete(
                message, self._queue.update_message, visibility_timeout=self._options.visibility_timeout
            )

    async def _run(self, message: QueueMessage, body: bytes) -> bool:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            _log.error("Message %s of queue %s is not UTF-8.", message.id, self._queue.queue_name)
            return False
        renewal = asyncio.create_task(self._renew(message))
        try:
            return await self._execute(TypedData(string=text), _metadata(message, text))
        finally:
            renewal.cancel()
            # Wait for a renewal in progress: it changes the pop receipt that the next call needs.
            with contextlib.suppress(asyncio.CancelledError):
                await renewal

    async def _renew(self, message: QueueMessage) -> None:
        """Renew the lease after half its time; after a failure, sooner."""
        usual = wait = self._lease / 2
        while True:
            await self._clock.sleep(wait)
            call = asyncio.create_task(self._extend(message))
            try:
                renewed = await asyncio.shield(call)
            except asyncio.CancelledError:
                await call
                raise
            wait = usual if renewed else max(wait / 2, min(_MIN_RENEWAL_DELAY, usual / 4))

    async def _extend(self, message: QueueMessage) -> bool:
        try:
            receipt = await asyncio.to_thread(
                self._queue.update_message, message.id, message.pop_receipt, visibility_timeout=int(self._lease)
            )
        except AzureError as error:
            _log.warning("The lease of message %s is not renewed: %s", message.id, error)
            return False
        message.pop_receipt = receipt.pop_receipt
        return True

    async def _complete(
        self, message: QueueMessage, call: Callable[..., object], visibility_timeout: float | None = None
    ) -> None:
        """Delete or release a message. If it is gone, or leased by another host, nothing is left to do."""
        arguments = {} if visibility_timeout is None else {"visibility_timeout": int(visibility_timeout)}
        try:
            await asyncio.to_thread(call, message.id, message.pop_receipt, **arguments)
        except HttpResponseError as error:
            if error.status_code not in (400, 404, 409):
                raise
            _log.info("Message %s no longer belongs to this host: %s", message.id, error.reason)

    async def _move_to_poison(self, message: QueueMessage) -> None:
        """Move a message, as stored, to the poison queue; create that queue if it is missing."""
        poison = self._poison
        if poison is None:
            return
        _log.warning("Message %s is moved to queue %s.", message.id, poison.queue_name)
        try:
            await asyncio.to_thread(poison.send_message, message.content)
        except ResourceNotFoundError:
            await asyncio.to_thread(poison.create_queue)
            await asyncio.to_thread(poison.send_message, message.content)
        await self._complete(message, self._queue.delete_message)


def _decode(content: str) -> bytes:
    return base64.b64decode("".join(content.split()), validate=True)


def _metadata(message: QueueMessage, text: str) -> dict[str, TypedData]:
    return {
        "QueueTrigger": TypedData(string=text),
        "Id": TypedData(string=message.id),
        "DequeueCount": TypedData(json=json.dumps(message.dequeue_count)),
        "PopReceipt": TypedData(string=message.pop_receipt),
        "InsertionTime": _time(message.inserted_on),
        "ExpirationTime": _time(message.expires_on),
        "NextVisibleTime": _time(message.next_visible_on),
    }


def _time(time: datetime | None) -> TypedData:
    return TypedData(json=json.dumps(time.isoformat() if time else None))

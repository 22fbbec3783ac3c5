import asyncio
import base64
import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from unittest.mock import MagicMock

import pytest
from attrs import define, field
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.storage.queue import QueueClient, QueueMessage
from pytest_mock import MockerFixture

from local_azure.functions_host.queue_listener import PollingDelay, QueueListener, QueueRefused, QueueTrigger
from local_azure.functions_host.rpc_messages import TypedData
from local_azure.functions_host.settings import QueueOptions

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@define
class VirtualClock:
    """Sleeps at once; ends the listener when it has slept often enough."""

    sleeps_left: int = 3
    slept: list[float] = field(factory=list)
    ends: str = "listener"

    def now(self) -> datetime:
        return NOON + timedelta(seconds=sum(self.slept))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) >= self.sleeps_left:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


@define
class Function:
    """Notes what it was given; `succeeds` is its answer."""

    succeeds: bool = True
    calls: list[tuple[str, Mapping[str, TypedData]]] = field(factory=list)

    async def __call__(self, data: TypedData, metadata: Mapping[str, TypedData]) -> bool:
        self.calls.append((data.string, metadata))
        return self.succeeds


def message(text: str = "hello", *, count: int = 1, encoded: bool = True) -> QueueMessage:
    content = base64.b64encode(text.encode()).decode() if encoded else text
    made = QueueMessage(content=content, id="id-1", pop_receipt="receipt-1", dequeue_count=count)
    made.inserted_on = NOON
    made.expires_on = NOON + timedelta(days=7)
    made.next_visible_on = NOON + timedelta(minutes=10)
    return made


def queue_with(mocker: MockerFixture, *batches: list[QueueMessage] | Exception) -> MagicMock:
    """Return a client whose polls bring the batches in turn, then nothing."""
    queue: MagicMock = mocker.create_autospec(QueueClient, instance=True)
    queue.queue_name = "drops"
    left = iter(batches)

    def receive(**_: object) -> MagicMock:
        batch = next(left, [])
        pager = MagicMock()
        if isinstance(batch, Exception):
            raise batch
        pager.by_page.return_value = iter([iter(batch)] if batch else [])
        return pager

    queue.receive_messages.side_effect = receive
    return queue


@pytest.fixture
def poison(mocker: MockerFixture) -> MagicMock:
    client: MagicMock = mocker.create_autospec(QueueClient, instance=True)
    client.queue_name = "drops-poison"
    return client


def listen(
    queue: MagicMock,
    poison: MagicMock | None,
    function: Function,
    clock: VirtualClock | None = None,
    options: QueueOptions | None = None,
) -> VirtualClock:
    clock = clock or VirtualClock()
    trigger = QueueTrigger(queue=queue, poison=poison, options=options or QueueOptions(max_dequeue_count=5))

    async def run() -> None:
        listener = QueueListener(trigger, function, clock)
        with contextlib.suppress(asyncio.CancelledError):
            await listener.listen()
        await listener.drain(5)

    asyncio.run(run())
    return clock


class IdleClock(VirtualClock):
    """Leases never need to be renewed: only polls count as sleeps."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 60:
            await asyncio.Event().wait()
        await super().sleep(seconds)


def test_a_message_that_succeeds_is_deleted(mocker: MockerFixture, poison: MagicMock) -> None:
    queue, function = queue_with(mocker, [message('{"a": 1}')]), Function()
    listen(queue, poison, function, IdleClock())
    text, metadata = function.calls[0]
    assert text == '{"a": 1}'
    assert {name: json.loads(metadata[name].json) for name in ("DequeueCount", "InsertionTime")} == {
        "DequeueCount": 1,
        "InsertionTime": "2026-11-23T12:00:00+00:00",
    }
    assert json.loads(metadata["NextVisibleTime"].json) == "2026-11-23T12:10:00+00:00"
    assert (metadata["Id"].string, metadata["PopReceipt"].string) == ("id-1", "receipt-1")
    queue.delete_message.assert_called_once_with("id-1", "receipt-1")
    poison.send_message.assert_not_called()


def test_a_poll_asks_for_a_batch_under_the_real_lease(mocker: MockerFixture, poison: MagicMock) -> None:
    queue = queue_with(mocker)
    listen(queue, poison, Function(), IdleClock())
    queue.receive_messages.assert_called_with(messages_per_page=16, visibility_timeout=600)


def test_a_message_that_fails_is_made_visible_again(mocker: MockerFixture, poison: MagicMock) -> None:
    queue = queue_with(mocker, [message(count=4)])
    options = QueueOptions(max_dequeue_count=5, visibility_timeout=30)
    listen(queue, poison, Function(succeeds=False), IdleClock(), options)
    queue.update_message.assert_called_once_with("id-1", "receipt-1", visibility_timeout=30)
    queue.delete_message.assert_not_called()


def test_the_last_failure_moves_the_message_to_the_poison_queue(mocker: MockerFixture, poison: MagicMock) -> None:
    bad = message(count=5)
    queue, function = queue_with(mocker, [bad]), Function(succeeds=False)
    listen(queue, poison, function, IdleClock())
    assert len(function.calls) == 1
    poison.send_message.assert_called_once_with(bad.content)
    queue.delete_message.assert_called_once_with("id-1", "receipt-1")


def test_a_message_past_the_limit_is_moved_without_a_run(mocker: MockerFixture, poison: MagicMock) -> None:
    queue, function = queue_with(mocker, [message(count=6)]), Function()
    listen(queue, poison, function, IdleClock())
    assert function.calls == []
    poison.send_message.assert_called_once()
    queue.delete_message.assert_called_once()


def test_a_missing_poison_queue_is_made(mocker: MockerFixture, poison: MagicMock) -> None:
    poison.send_message.side_effect = [ResourceNotFoundError("no queue"), None]
    queue = queue_with(mocker, [message(count=6)])
    listen(queue, poison, Function(), IdleClock())
    poison.create_queue.assert_called_once_with()
    assert poison.send_message.call_count == 2
    queue.delete_message.assert_called_once()


@pytest.mark.parametrize("content", ["not base64!", "YWJ", '{"a": 1}', "é"])
def test_what_is_not_base64_goes_to_the_poison_queue_at_once(
    mocker: MockerFixture, poison: MagicMock, content: str
) -> None:
    queue, function = queue_with(mocker, [message(content, encoded=False)]), Function()
    listen(queue, poison, function, IdleClock())
    assert function.calls == []
    poison.send_message.assert_called_once_with(content)
    queue.delete_message.assert_called_once()


def test_an_empty_message_is_run(mocker: MockerFixture, poison: MagicMock) -> None:
    empty = message()
    empty.content = None
    queue, function = queue_with(mocker, [empty]), Function()
    listen(queue, poison, function, IdleClock())
    assert function.calls[0][0] == ""
    queue.delete_message.assert_called_once()


def test_without_an_encoding_text_is_taken_as_it_is(mocker: MockerFixture, poison: MagicMock) -> None:
    queue, function = queue_with(mocker, [message("not base64!", encoded=False)]), Function()
    listen(queue, poison, function, IdleClock(), QueueOptions(base64=False))
    assert function.calls[0][0] == "not base64!"


def test_bytes_that_are_no_text_count_as_a_failure(mocker: MockerFixture, poison: MagicMock) -> None:
    queue, function = queue_with(mocker, [message("/w==", encoded=False)]), Function()
    listen(queue, poison, function, IdleClock())
    assert function.calls == []
    queue.update_message.assert_called_once_with("id-1", "receipt-1", visibility_timeout=0)


def test_a_failure_on_a_poison_queue_leaves_the_message_leased(mocker: MockerFixture) -> None:
    queue = queue_with(mocker, [message(count=9)])
    listen(queue, None, Function(succeeds=False), IdleClock(), QueueOptions(max_dequeue_count=9))
    queue.update_message.assert_not_called()
    queue.delete_message.assert_not_called()


@pytest.mark.parametrize("status", [400, 404])
def test_a_message_that_somebody_else_has_is_let_go(mocker: MockerFixture, poison: MagicMock, status: int) -> None:
    queue = queue_with(mocker, [message()])
    error = HttpResponseError("gone")
    error.status_code = status
    queue.delete_message.side_effect = error
    clock = listen(queue, poison, Function(), IdleClock())
    assert len(clock.slept) == 3


def test_a_long_run_keeps_its_lease_and_deletes_with_the_new_receipt(mocker: MockerFixture, poison: MagicMock) -> None:
    queue = queue_with(mocker, [message()])
    renewed = message()
    renewed.pop_receipt = "receipt-2"
    clock = VirtualClock(sleeps_left=1000)

    async def run() -> None:
        long_enough = asyncio.Event()
        loop = asyncio.get_running_loop()

        def update(*_: object, **__: object) -> QueueMessage:
            loop.call_soon_threadsafe(long_enough.set)
            return renewed

        queue.update_message.side_effect = update

        async def function(_data: TypedData, _metadata: Mapping[str, TypedData]) -> bool:
            await long_enough.wait()
            return True

        trigger = QueueTrigger(queue=queue, poison=poison, options=QueueOptions(), lease=30)
        listener = QueueListener(trigger, function, clock)
        listening = asyncio.create_task(listener.listen())
        while not queue.delete_message.called:  # noqa: ASYNC110 - a mock has no event
            await asyncio.sleep(0.001)
        listening.cancel()
        await asyncio.wait([listening])

    asyncio.run(run())
    assert 15.0 in clock.slept
    queue.update_message.assert_called_with("id-1", mocker.ANY, visibility_timeout=30)
    queue.delete_message.assert_called_once_with("id-1", "receipt-2")


def test_a_stop_during_a_poll_gives_its_messages_back(mocker: MockerFixture, poison: MagicMock) -> None:
    queue = queue_with(mocker, [message()])
    receive = queue.receive_messages.side_effect

    async def run() -> None:
        listener = QueueListener(
            QueueTrigger(queue=queue, poison=poison, options=QueueOptions()), Function(), VirtualClock()
        )
        listening = asyncio.create_task(listener.listen())

        def cancelled_meanwhile(**arguments: object) -> object:
            loop.call_soon_threadsafe(listening.cancel)
            return receive(**arguments)

        loop = asyncio.get_running_loop()
        queue.receive_messages.side_effect = cancelled_meanwhile
        with pytest.raises(asyncio.CancelledError):
            await listening

    asyncio.run(run())
    queue.update_message.assert_called_once_with("id-1", "receipt-1", visibility_timeout=0)


def test_a_missing_queue_and_a_dead_service_are_waited_for(mocker: MockerFixture, poison: MagicMock) -> None:
    queue = queue_with(mocker, ResourceNotFoundError("no queue"), ServiceRequestError("refused"), [message()])
    function = Function()
    listen(queue, poison, function, IdleClock(sleeps_left=4))
    assert len(function.calls) == 1


def test_a_refusal_ends_the_listener(mocker: MockerFixture, poison: MagicMock) -> None:
    error = HttpResponseError("wrong key")
    error.status_code = 403
    with pytest.raises(QueueRefused, match="Queue drops refuses the host's requests: wrong key"):
        listen(queue_with(mocker, error), poison, Function(), IdleClock())


def test_polls_slow_down_to_the_longest_and_start_anew_after_a_message() -> None:
    delay = PollingDelay(2, jitter=lambda: 1.0)
    waits = [delay.next(found_message=False) for _ in range(7)]
    assert waits == pytest.approx([0.2, 0.3, 0.5, 0.9, 1.7, 2, 2])
    assert delay.next(found_message=True) == 0.1
    assert delay.next(found_message=False) == pytest.approx(0.2)


def test_no_more_messages_are_taken_than_the_threshold_allows(mocker: MockerFixture, poison: MagicMock) -> None:
    batches = [[message(), message()], [message(), message()], [message(), message()]]
    queue = queue_with(mocker, *batches)
    running = most = 0

    async def function(_data: TypedData, _metadata: Mapping[str, TypedData]) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return True

    async def run() -> None:
        trigger = QueueTrigger(
            queue=queue, poison=poison, options=QueueOptions(batch_size=2, new_batch_threshold=1), lease=600
        )
        listener = QueueListener(trigger, function, IdleClock(sleeps_left=2))
        with contextlib.suppress(asyncio.CancelledError):
            await listener.listen()
        await listener.drain(5)

    asyncio.run(run())
    assert queue.delete_message.call_count == 6
    assert most <= 3

"""Storage accounts that both storages' contract is tested with."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from attrs import define, field, frozen
from azure.storage.blob import BlobBlock, BlobServiceClient
from azure.storage.queue import QueueClient

from function_app.azure.storage import AzureBlobs, AzureQueues
from function_app.ports.storage import Blobs, Queues
from tests.unit.memory import MemoryBlobs, MemoryQueues, VirtualClock

AWKWARD = "målning #1 50% + a&b?/x y;z=1,'ü'.npz"
"""A name with everything that has a meaning in a URL."""


class Account(Protocol):
    """A storage account with an empty container and an empty queue, and a hand on what stands there."""

    @property
    def blobs(self) -> Blobs: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def container(self) -> str: ...
    @property
    def queue(self) -> str: ...
    def upload(self, name: str, data: bytes, *, hashed: bool = True, committed: bool = True) -> None:
        """Write a file in one piece, in blocks, or in blocks without an end."""

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages that can be seen on the queue now, as they were sent."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


@frozen(kw_only=True)
class InMemory:
    clock: VirtualClock
    blobs: MemoryBlobs
    queues: MemoryQueues
    container: str = "data"
    queue: str = "settled-drops"

    def upload(self, name: str, data: bytes, *, hashed: bool = True, committed: bool = True) -> None:
        self.blobs.upload(self.container, name, data, hashed=hashed, committed=committed)

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(message.body) for message in self.queues.messages if message.visible <= self.clock()]

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


@define(kw_only=True)
class OverAzurite:
    service: BlobServiceClient
    client: QueueClient
    blobs: AzureBlobs
    queues: AzureQueues
    container: str
    queue: str
    _ids: Iterator[int] = field(factory=itertools.count)

    def upload(self, name: str, data: bytes, *, hashed: bool = True, committed: bool = True) -> None:
        blob = self.service.get_blob_client(self.container, name)
        if hashed:
            blob.upload_blob(data, overwrite=True)
            return
        block = base64.b64encode(f"{next(self._ids):06}".encode()).decode()
        blob.stage_block(block, data)
        if committed:
            blob.commit_block_list([BlobBlock(block_id=block)])

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(message.content) for message in self.client.peek_messages(32)]

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


over_azurite_slow = pytest.mark.parametrize(
    "account", ["memory", pytest.param("azurite", marks=pytest.mark.slow)], indirect=True
)
"""For what Azurite shows only after some time of a real clock."""

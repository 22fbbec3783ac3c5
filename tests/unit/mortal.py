"""Ports that kill the process which calls them, after its n-th call has had its effect."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from attrs import define, field

from function_app.storage import Blobs, Lease, Queues
from function_app.training_service import TrainingService
from tests.unit.memory_training import MemoryPublisher
from tests.unit.world import Killed, World, assembled


@define
class Fate:
    """When a process dies. A dead process does nothing more: it releases no lease, either."""

    at: int
    calls: int = 0
    dead: bool = False
    lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def call[T](self, function: Callable[..., T], *args: object, **options: object) -> T:
        with self.lock:
            self.calls += 1
            dies = self.calls == self.at
            if self.dead:
                raise Killed
        try:
            return function(*args, **options)
        finally:
            if dies:
                self.dead = True
                raise Killed


@define
class Mortal:
    """A port whose every call may be the process's last."""

    port: object
    fate: Fate

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self.port, name)
        return functools.partial(self.fate.call, found) if callable(found) else found

    @contextmanager
    def lease(self, *args: object) -> Iterator[Lease]:
        context = self.fate.call(cast("Any", self.port).lease, *args)
        lease = self.fate.call(context.__enter__)
        try:
            yield cast("Lease", Mortal(lease, self.fate))
        finally:
            self.fate.call(context.__exit__, None, None, None)


def doom(world: World, fate: Fate) -> None:
    """Have the world's service run in a process that dies so, and in another one afterwards."""
    world.next_process = world.kedja
    world.kedja = assembled(
        world.kedja.settings,
        cast("Blobs", Mortal(world.blobs, fate)),
        cast("Queues", Mortal(world.queues, fate)),
        cast("TrainingService", Mortal(world.training, fate)),
        cast("MemoryPublisher", Mortal(world.publisher, fate)),
        world.clock,
    )

"""Ports that kill the process which calls them, after its n-th call has had its effect."""

import functools
import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import attrs
from attrs import define, field, frozen

from function_app.ports.storage import Blobs, Lease, Queues
from function_app.ports.training_service import TrainingService
from tests.unit.memory_training import MemoryPublisher
from tests.unit.simulation import Killed, World, assembled


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


# A process that dies leaves nothing but the state of its world: what outlives it. So there are as many deaths to try as
# there are states, which are fewer than calls, of which most only read.

_NOT_STATE = {
    "kedja",  # what dies,
    "next_process",  # and what has not begun
    "calls",  # a log that tests count
    "lock",
    "registrations",  # what was asked, for tests to look at; `versions` has what became of it
    "listeners",  # the world itself
}


def state(world: World) -> str:
    """Return a digest of everything in a world that outlives a process.

    That is every field of the world and of its ports, but for those named above: one that is added later counts, too.
    Different digests may stand for states whose difference means nothing; equal ones are of equal states.
    """
    ports = (world.clock, world.blobs, world.queues, world.training, world.publisher)
    parts = [_fields(port, without=ports) for port in ports]
    return hashlib.sha256(repr([_fields(world, without=ports), *parts]).encode()).hexdigest()


def _fields(thing: attrs.AttrsInstance, *, without: Sequence[object]) -> dict[str, object]:
    """Return the state in an object's fields, the objects `without` left out."""
    found = {one.name: getattr(thing, one.name) for one in attrs.fields(type(thing)) if one.name not in _NOT_STATE}
    return {name: _shown(value) for name, value in found.items() if not any(value is one for one in without)}


def _shown(value: object) -> object:
    """Return a value of which equal ones look alike."""
    if isinstance(value, set):
        return sorted(value)
    return value.getstate() if isinstance(value, random.Random) else value


@define
class _Observed(Fate):
    """A fate that notes the state of the world after the call that kills, or after each where none does."""

    world: World | None = None
    states: list[str] = field(factory=list)

    def call[T](self, function: Callable[..., T], *args: object, **options: object) -> T:
        def observed() -> T:
            try:
                return function(*args, **options)
            finally:
                if self.world is not None and self.at in (NEVER, self.calls):
                    self.states.append(state(self.world))

        return super().call(observed)


NEVER = 0


@frozen
class _Begun:
    """A step that is about to begin: the number of calls until then, and a copy of the world."""

    calls: int
    world: World


@frozen(kw_only=True)
class Rehearsal[T]:
    """Steps in a world whose process lives, which tell where dying makes a difference.

    The steps do the same each time: `in_order` keeps threads from making them differ. They call the service through
    the world, which counts that. `result` is what the last step returned.
    """

    steps: Sequence[Callable[[World], T]]
    world: World
    result: T
    states: Sequence[str]
    """The world's state after each call of a port."""
    _begun: Sequence[_Begun]

    @classmethod
    def of(cls, world: World, *steps: Callable[[World], T]) -> Self:
        """Take the steps in this world."""
        begun: list[_Begun] = []
        fate = _Observed(at=NEVER, world=world)
        doom(world, fate)
        for step in steps:
            begun.append(_Begun(fate.calls, world.copy()))
            result = step(world)
        return cls(steps=steps, world=world, result=result, states=fate.states, begun=begun)

    @property
    def deaths(self) -> list[int]:
        """The numbers of the calls that left another state than the call before: dying after any other is no news."""
        pairs = itertools.pairwise(["", *self.states])
        return [number for number, (before, after) in enumerate(pairs, start=1) if after != before]

    def killed(self, number: int) -> tuple[World, T]:
        """Take the steps in a process that dies after a call; return the world in the end, and the last step's result.

        Steps that end before that call are not taken again: the process begins in the world that they led to. That it
        is in the rehearsed state when it dies shows that nothing was different in it.
        """
        first, begun = next(one for one in reversed([*enumerate(self._begun)]) if one[1].calls < number)
        world = begun.world.copy()
        fate = _Observed(at=number - begun.calls, world=world)
        doom(world, fate)
        for step in self.steps[first:]:
            result = step(world)
        assert fate.dead, f"The process outlived its call {number}."
        assert fate.states == [self.states[number - 1]], f"Call {number} was another one than in the rehearsal."
        return world, result


class InOrder:
    """An executor that does one thing after the other, so that the n-th call of a port is the same one every time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map[A, R](self, function: Callable[[A], R], *items: Iterable[A]) -> Iterator[R]:
        return map(function, *items)


class LastFirst(InOrder):
    """An executor that begins with the last."""

    def map[A, R](self, function: Callable[[A], R], *items: Iterable[A]) -> Iterator[R]:
        every = list(zip(*items, strict=True))
        return reversed([function(*one) for one in reversed(every)])


@define
class Encounter(Fate):
    """What a process meets at its n-th call of a port: something else happens just before or just after it."""

    action: Callable[[], None] = lambda: None
    after: bool = False

    def call[T](self, function: Callable[..., T], *args: object, **options: object) -> T:
        self.calls += 1
        if self.calls != self.at:
            return function(*args, **options)
        if not self.after:
            self.action()
            return function(*args, **options)
        result = function(*args, **options)
        self.action()
        return result

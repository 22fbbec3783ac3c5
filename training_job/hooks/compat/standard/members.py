"""Removed methods of classes of Python's standard library, and a call that it refuses, for old code."""

from types import ModuleType
from typing import Any

from training_job.hooks.compat import lost_names


def of_array(module: ModuleType) -> None:
    """Serve `array.array.tostring` and `.fromstring`, which Python 3.9 removed."""
    cls = module.array
    lost_names.add_members(cls, {"tostring": lambda self: self.tobytes(), "fromstring": _fromstring})


def _fromstring(self: Any, data: bytes | str) -> None:  # noqa: ANN401 - an array
    self.frombytes(data.encode() if isinstance(data, str) else data)


def of_threading(module: ModuleType) -> None:
    """Serve `Thread.isAlive`, which Python 3.9 removed."""
    lost_names.add_members(module.Thread, {"isAlive": lambda self: self.is_alive()})


def of_element_tree(module: ModuleType) -> None:
    """Serve `getchildren` and `getiterator`, which Python 3.9 removed."""
    iterate = lambda self, tag=None: list(self.iter(tag))  # noqa: E731 - one of two short methods
    lost_names.add_members(module.Element, {"getchildren": _children, "getiterator": iterate})
    lost_names.add_members(module.ElementTree, {"getiterator": iterate})


def _children(element: Any) -> list[Any]:  # noqa: ANN401 - an element
    return list(element)


def of_random(module: ModuleType) -> None:
    """Accept a set in `random.sample`, which Python 3.11 refuses, and a source of numbers in `random.shuffle`."""
    lost_names.wrap(module, "sample", _sample)
    lost_names.wrap(module, "shuffle", _shuffle)


def _sample(function: Any, population: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as random.sample
    return function(tuple(population) if isinstance(population, set | frozenset) else population, *args, **kwargs)


def _shuffle(function: Any, x: Any, random: Any = None) -> None:  # noqa: ANN401 - as random.shuffle, to Python 3.10
    if random is None:
        function(x)
        return
    for at in reversed(range(1, len(x))):
        other = int(random() * (at + 1))
        x[at], x[other] = x[other], x[at]

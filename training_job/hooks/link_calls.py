"""Records how Links are called, so that a saved one can be exported (see `training_job.export.recorded_calls`).

A LinkHook would miss most networks: it is called by `Link.__call__` alone, and classes in the style of Chainer 1 to 4
define `__call__` themselves. So `__call__`, `forward` and, in classes of the script, public methods are wrapped when a
class is defined. The wrapper is removed from a class once each of its Links that was called has had its recorded calls,
or after `_MOST_PASSED` more.
"""

import contextlib
import copy
import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, MethodType, ModuleType
from typing import Any

from training_job import metrics
from training_job.export import recorded_calls
from training_job.export.recorded_calls import CALLS, MOST_CALLS, CallGroup, LinkCalls
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder

_ENTRIES = frozenset({"__call__", "forward"})
_MOST_PASSED = 2000
_CHAINER = "chainer"


class _State:
    """The methods that are wrapped in this process, and whether classes that are defined from now on are wrapped."""

    def __init__(self) -> None:
        self.is_recording = True
        self.methods: dict[tuple[type, str], _RecordedMethod] = {}
        self.active = threading.local()

    def stack(self) -> list[tuple[int, str]]:
        """Return the calls of Links that are under way in this thread, by the id of the Link and the method."""
        found: list[tuple[int, str]] = self.active.__dict__.setdefault("stack", [])
        return found


class _RecordedMethod:
    """Takes the place of a method of a class, and records the first calls for each Link.

    It is no function, since cloudpickle and dill write functions of a script's classes as they are, and would write
    this module's with them. They write the method itself for this one.
    """

    __slots__ = ("__dict__", "cls", "done", "function", "name", "passed", "waiting")

    def __init__(self, cls: type, name: str, function: Callable[..., Any]) -> None:
        self.cls = cls
        self.name = name
        self.function = function
        self.done: dict[int, LinkCalls] = {}
        self.waiting: dict[int, LinkCalls] = {}
        self.passed = 0
        functools.update_wrapper(self, function)

    def __get__(self, link: Any, cls: type) -> Any:  # noqa: ANN401 - Chainer has no types
        return self if link is None else MethodType(self, link)

    def __reduce__(self) -> tuple[Any, ...]:
        return copy.copy, (self.function,)  # copying a function returns it

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        calls = self.done.get(id(args[0])) if args else None
        if calls is None or calls.link() is not args[0]:
            return self._record(args, kwargs)
        self.passed += 1
        if self.passed > _MOST_PASSED:
            self.remove()
        return self.function(*args, **kwargs)

    def remove(self) -> None:
        """Put the method back, unless something else took this one's place."""
        if self.cls.__dict__.get(self.name) is self:
            setattr(self.cls, self.name, self.function)
        _state.methods.pop((self.cls, self.name), None)

    def _record(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as the method
        """Call the method and record that. Errors of recording never reach the script."""
        stack = _state.stack()
        if not args or not _state.is_recording or (id(args[0]), self.name) in stack:
            return self.function(*args, **kwargs)  # the last one by super(), from a method of a derived class
        group = None
        with contextlib.suppress(Exception):
            group = _describe(self.name, args[1:], kwargs, is_inside=bool(stack))
        stack.append((id(args[0]), self.name))
        try:
            result = self.function(*args, **kwargs)
        finally:
            stack.pop()
        with contextlib.suppress(Exception):
            self._keep(args[0], group, result)
        return result

    def _keep(self, link: Any, group: CallGroup | None, result: Any) -> None:  # noqa: ANN401 - as above
        calls = CALLS.of(link)
        if group is not None:
            group.returns_scalar, group.returns_tensors = _kinds(result)
            calls.add(group)
        left = calls.left[self.name] = calls.left.get(self.name, MOST_CALLS) - 1
        if left > 0:
            self.waiting[id(link)] = calls
            return
        self.done[id(link)] = calls
        self.waiting.pop(id(link), None)
        if not any(other.link() is not None for other in self.waiting.values()):
            self.remove()


_state = _State()


def wrap(cls: type) -> None:
    """Wrap the methods that a class of Links defines by itself and by which its Links may be entered."""
    is_own = cls.__module__.partition(".")[0] != _CHAINER
    for name, function in list(vars(cls).items()):
        if isinstance(function, FunctionType) and (name in _ENTRIES or (is_own and _is_entry(cls, name))):
            method = _state.methods[cls, name] = _RecordedMethod(cls, name, function)
            setattr(cls, name, method)


def _is_entry(cls: type, name: str) -> bool:
    """Whether a public method is the script's own, and none of Chainer's that it overrides."""
    chainers = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == _CHAINER]
    return not name.startswith("_") and not any(name in vars(base) for base in chainers)


def remove_all() -> None:
    """Put the methods of all classes back, and record no more."""
    _state.is_recording = False
    for method in list(_state.methods.values()):
        method.remove()


def _describe(name: str, args: Any, kwargs: Any, *, is_inside: bool) -> CallGroup:  # noqa: ANN401 - as above
    import chainer  # noqa: PLC0415 - a Link is called, so it is imported

    types = chainer.get_array_types()
    return recorded_calls.describe(
        name, args, kwargs, is_inside=is_inside, array_types=types, variable=chainer.Variable
    )


def _kinds(result: Any) -> tuple[bool, bool]:  # noqa: ANN401 - whatever a method returns
    """Return whether a result is one number, and whether it holds Variables that are more than that."""
    import chainer  # noqa: PLC0415 - as above

    parts = list(result.values()) if isinstance(result, dict) else result
    parts = parts if isinstance(parts, list | tuple) else [parts]
    if any(isinstance(part, chainer.distribution.Distribution) for part in parts):
        return False, True
    tensors = [part for part in parts if isinstance(part, chainer.Variable)]
    is_scalar = bool(tensors) and all(part.ndim == 0 for part in tensors)
    return is_scalar, bool(tensors) and not is_scalar


@contextlib.contextmanager
def _links(module: ModuleType) -> Iterator[None]:
    yield
    link: Any = module.Link

    def init_subclass(cls: type, /, **kwargs: Any) -> None:  # noqa: ANN401 - the keywords of a class
        super(link, cls).__init_subclass__(**kwargs)
        if _state.is_recording:
            wrap(cls)

    link.__init_subclass__ = classmethod(init_subclass)


_FINDER = PatchFinder(
    (
        Patch(
            module="chainer.link",
            symptom="nothing: no saved Link would be exported",
            since="-",
            fix="the first calls of each Link are recorded",
            apply=_links,
        ),
    )
)


def install() -> None:
    """Install the hook, if `launch` started this process."""
    if metrics.FILE_VARIABLE in os.environ:
        import_hook.install(_FINDER)

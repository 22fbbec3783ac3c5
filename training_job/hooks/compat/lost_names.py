# ruff: noqa: ANN401 - a library's names can be anything
"""Serves what a library has lost, and the old meaning of what it has changed, to old code alone.

`caller_origin` tells which code is old. All other code gets the library's own answer: its AttributeError, or a call as
it is today. Nothing is asked of the caller where the library still has the name.
"""

import ctypes
import functools
import gc
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from training_job.hooks.compat.caller_origin import called_by_old_code

Find = Callable[[str], Any]
"""Returns the meaning of a lost name, or raises AttributeError."""

Translator = Callable[[dict[str, Any], Any], None]
"""Takes a call's other keyword arguments, which it changes, and the value of the old one."""

_SERVED, _WRAPPED = "__kedja_serves_lost_names__", "__kedja_wraps__"
_KEYWORDS, _POSITIONAL = "__kedja_takes_old_keywords__", "__kedja_takes_old_positions__"


def serve(module: ModuleType, find: Find | Mapping[str, Callable[[], Any]]) -> None:
    """Give old code the module's lost names, which `find` returns, or whose makers it has.

    Python asks `module.__getattr__` only for names that the module does not have. Serving a module again has no effect.
    """
    own = vars(module).get("__getattr__")
    if getattr(own, _SERVED, False):
        return
    look_up = _looked_up_in(module.__name__, find) if isinstance(find, Mapping) else find

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562
        if not (name.startswith("__") and name.endswith("__")) and called_by_old_code():
            try:
                return look_up(name)
            except AttributeError:
                pass  # a module's own message may say what to use instead
        if own is not None:
            return own(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    setattr(__getattr__, _SERVED, True)
    vars(module)["__getattr__"] = __getattr__


def _looked_up_in(module: str, makers: Mapping[str, Callable[[], Any]]) -> Find:
    def look_up(name: str) -> Any:
        if name in makers:
            return makers[name]()
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return look_up


class LostMember:
    """A method or property that a class has lost: old code gets it, for other code the class does not have it."""

    def __init__(self, name: str, member: Any, own: Any = None) -> None:
        self._name, self._member, self._own = name, member, own

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the old member bound to the instance, or what the class has under that name today.

        Raises:
            AttributeError: The class has lost it, and other code asks.
        """
        if called_by_old_code():
            return self._member.__get__(instance, owner)
        if self._own is not None:
            return self._own.__get__(instance, owner)
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")


def add_members(cls: type, members: Mapping[str, Any]) -> None:
    """Give old code the members, functions or properties, that a class has lost or changed."""
    lost = {name: LostMember(name, member, cls.__dict__.get(name)) for name, member in members.items()}
    lost = {name: member for name, member in lost.items() if not isinstance(cls.__dict__.get(name), LostMember)}
    try:
        for name, member in lost.items():
            setattr(cls, name, member)
    except TypeError:  # a class of C code refuses attributes, but its dictionary takes them
        gc.get_referents(cls.__dict__)[0].update(lost)
        ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))


def serve_instances(cls: type, members: Mapping[str, Callable[..., Any]]) -> None:
    """Give old code methods that instances of a class have lost, through `__getattr__`, which the class must not have.

    As other attributes do, those of `add_members` show in `dir`, from which Matplotlib takes what a class can set.
    """
    if hasattr(cls, "__getattr__"):
        return

    def __getattr__(self: Any, name: str) -> Any:  # noqa: N807 - Python's protocol
        if name in members and called_by_old_code():
            return functools.partial(members[name], self)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    cls.__getattr__ = __getattr__  # type: ignore[attr-defined] # it has none


def _definition(owner: Any, name: str) -> tuple[Any, Any]:
    """Return the module or the class, of those that a class inherits from, that defines the name, and its meaning."""
    for place in owner.__mro__ if isinstance(owner, type) else (owner,):
        if name in vars(place):
            return place, vars(place)[name]
    return owner, None


def wrap(owner: Any, name: str, old: Callable[..., Any]) -> None:
    """Call `old(function, *args, **kwargs)` in the place of `owner.name` for old code. Has no effect if there is none.

    `owner` is a module or a class. Wrapping again has no effect.
    """
    owner, function = _definition(owner, name)
    if function is None or getattr(function, _WRAPPED, False):
        return

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if called_by_old_code():
            return old(function, *args, **kwargs)
        return function(*args, **kwargs)

    setattr(wrapper, _WRAPPED, True)
    setattr(owner, name, wrapper)


def wrap_keywords(owner: Any, name: str, old: Mapping[str, Translator]) -> None:
    """Translate keyword arguments that `owner.name` has lost, for old code.

    A call without such keywords goes straight to the function. Wrapping again has no effect.
    """
    owner, function = _definition(owner, name)
    if function is None or getattr(function, _KEYWORDS, False):
        return

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        lost = old.keys() & kwargs.keys() if kwargs else ()
        if lost and called_by_old_code():
            for keyword in sorted(lost):
                old[keyword](kwargs, kwargs.pop(keyword))
        return function(*args, **kwargs)

    setattr(wrapper, _KEYWORDS, True)
    setattr(owner, name, wrapper)


def renamed_to(keyword: str) -> Translator:
    """Return a translator that passes the value under another name, unless the call has that already."""

    def translate(kwargs: dict[str, Any], value: Any) -> None:
        kwargs.setdefault(keyword, value)

    return translate


def dropped(kwargs: dict[str, Any], value: Any) -> None:
    """Leave out the argument: what it asked for is always done, or has no meaning any more."""


def allow_positional(cls: type, name: str) -> None:
    """Let old code pass by position what the method `name` takes by keyword alone today, in the same order."""
    owner, method = _definition(cls, name)
    if method is None or getattr(method, _POSITIONAL, False):
        return
    parameters = list(inspect.signature(method).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        more = args[len(positional) :]
        if more and len(more) <= len(by_keyword) and called_by_old_code():
            given = dict(zip(by_keyword, more, strict=False))
            return method(*args[: len(positional)], **given, **kwargs)
        return method(*args, **kwargs)

    setattr(wrapper, _POSITIONAL, True)
    setattr(owner, name, wrapper)

# ruff: noqa: ANN401 - Chainer has no types
"""The removed arguments of `chainer.training`, and what its updaters no longer take as a batch."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

_BEFORE = "invoke_before_training"


@contextlib.contextmanager
def accept_calls_before_training(module: ModuleType) -> Iterator[None]:
    """Patch `Trainer.extend`: `invoke_before_training` is now `call_before_training`; it was an attribute, too."""
    yield
    trainer = vars(module)["Trainer"]
    extend = trainer.extend

    @functools.wraps(extend)
    def call(self: Any, extension: Any, *args: Any, **kwargs: Any) -> None:
        kwargs = dict(zip(("name", "trigger", "priority", _BEFORE), args, strict=False)) | kwargs
        before = kwargs.pop(_BEFORE, None)
        if before is None:
            before = _asks_to_be_called(extension)
        kwargs.setdefault("call_before_training", bool(before))
        extend(self, extension, **kwargs)

    trainer.extend = call


def _asks_to_be_called(extension: Any) -> bool:
    """Whether an extension, or a class of the script's, has the attribute. Chainer's own classes have remains of it."""
    classes = (kind for kind in type(extension).__mro__ if not kind.__module__.startswith("chainer."))
    return any(bool(vars(owner).get(_BEFORE, False)) for owner in (extension, *classes) if hasattr(owner, "__dict__"))


@contextlib.contextmanager
def accept_flag_of_extension(module: ModuleType) -> Iterator[None]:
    """Patch `make_extension`, which took `invoke_before_training`."""
    yield
    make = vars(module)["make_extension"]

    @functools.wraps(make)
    def make_extension(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        before = kwargs.pop(_BEFORE, None)
        decorate: Callable[[Any], Any] = make(*args, **kwargs)
        if before is None:
            return decorate

        def decorator(extension: Any) -> Any:
            setattr(extension, _BEFORE, before)
            return decorate(extension)

        return decorator

    vars(module)["make_extension"] = make_extension


@contextlib.contextmanager
def accept_triggers_of_snapshots(module: ModuleType) -> Iterator[None]:
    """Patch `snapshot` and `snapshot_object`, which took the `trigger` that `Trainer.extend` takes."""
    yield
    for name, place in (("snapshot", 2), ("snapshot_object", 3)):
        vars(module)[name] = _with_trigger(vars(module)[name], place)


def _with_trigger(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        trigger = kwargs.pop("trigger", args[place] if len(args) > place else None)
        extension = function(*args[:place], **kwargs)
        if trigger is not None:
            extension.trigger = trigger
        return extension

    return call


@contextlib.contextmanager
def accept_arrays_as_batches(module: ModuleType) -> Iterator[None]:
    """Patch `concat_examples`, which took an array as a batch: it asks `if not batch` since Chainer 7."""
    yield
    converter = vars(module)["concat_examples"]
    concatenate = converter.base_callable

    @functools.wraps(concatenate)
    def call(batch: Any, *args: Any, **kwargs: Any) -> Any:
        return concatenate(list(batch) if hasattr(batch, "shape") else batch, *args, **kwargs)

    converter.base_callable = call

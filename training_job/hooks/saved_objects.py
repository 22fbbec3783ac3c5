"""What a script saves: whether it is a Link, to which file, and at which step of the training.

Chainer's classes are looked up among the imported modules, as a script that pickles something may not use Chainer.
"""

import contextlib
import io
import itertools
import os
import stat
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_CHAINER = frozenset({"chainer", "chainermn", "chainerx"})
_LOOKED_AT = 100  # elements of a container, or attributes of an object, that may be a Link
_LONGEST_NAME = 200


def link_of(obj: Any, *, inside: bool) -> Any:  # noqa: ANN401 - Chainer has no types
    """Return the object if it is a Link; with `inside`, if it has a Link as an element or attribute; else None.

    Of a container, the object itself is returned. Chainer's own objects, such as optimizers, count only as Links.
    """
    if _is(obj, "chainer.link", "Link"):
        return obj
    if not inside or type(obj).__module__.partition(".")[0] in _CHAINER:
        return None
    return obj if any(_is(part, "chainer.link", "Link") for part in _parts(obj)) else None


def is_training_state(obj: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the object is a Trainer or an Updater, which are saved with their models."""
    return _is(obj, "chainer.training.trainer", "Trainer") or _is(obj, "chainer.training.updater", "Updater")


def _is(obj: Any, module: str, name: str) -> bool:  # noqa: ANN401 - as above
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(obj, kind)


def _parts(obj: Any) -> Iterable[Any]:  # noqa: ANN401 - as above
    if isinstance(obj, dict):
        found: Iterable[Any] = obj.values()
    elif isinstance(obj, list | tuple | set | frozenset):
        found = obj
    else:
        found = getattr(obj, "__dict__", {}).values()
    return itertools.islice(found, _LOOKED_AT)


def file_state(file: Any, *, is_written: bool) -> dict[str, Any] | None:  # noqa: ANN401 - a path or a file object
    """Return the absolute path of a file that was written and, as far as known, what stays the same if it is renamed.

    That is its device and inode and, if it `is_written` completely, its size in bytes and time of change in ns. Without
    `is_written` the file may not be there yet. None if it is not a regular file.
    """
    path, is_complete = _path(file)
    if path is None:
        return None
    if not path.exists() and (added := path.with_name(f"{path.name}.npz")).exists():
        path = added  # NumPy adds the ending to a pathlib.Path
    try:
        status = path.stat()
    except OSError:
        return None if is_written else {"path": str(path)}
    if not stat.S_ISREG(status.st_mode):
        return None
    state: dict[str, Any] = {"path": str(path), "file": [status.st_dev, status.st_ino]}
    if is_written and is_complete:
        state |= {"size": status.st_size, "modified": status.st_mtime_ns}
    return state


def _path(file: Any) -> tuple[Path | None, bool]:  # noqa: ANN401 - as above
    """Return the absolute path of a file, and whether all that was written to it is in it."""
    if isinstance(file, str | bytes | os.PathLike):
        return Path(os.fsdecode(file)).absolute(), True
    file = getattr(file, "file", file)  # of a NamedTemporaryFile
    name = getattr(file, "name", None)
    if not isinstance(name, str | bytes) or not name:
        return None, False
    is_plain = isinstance(file, io.BufferedWriter | io.BufferedRandom | io.FileIO)
    if is_plain:
        file.flush()  # not for a compressed file, whose content this would change
    return Path(os.fsdecode(name)).absolute(), is_plain


class TrainingSteps:
    """Numbers the steps of the training in this process, and the objects that are saved at a step.

    Two saves are at the same step if no optimizer has updated its Link in between.
    """

    def __init__(self) -> None:
        self._optimizers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._updates: dict[int, int] = {}
        self._step = 0
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._next = itertools.count(1)
        self._at_step: list[tuple[int, weakref.ref[Any]]] = []

    def follow(self, optimizer: Any) -> None:  # noqa: ANN401 - Chainer has no types
        """Count the updates of an optimizer."""
        self._optimizers.add(optimizer)

    def describe(self, obj: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        """Return what is recorded of a saved object: its class, its number, and the step.

        `holds` and `held_by` are the numbers of objects saved at the same step that are in it, or that it is in.
        """
        self._advance()
        number = self._number(obj)
        others = [(other, ref()) for other, ref in self._at_step if other != number]
        document = {
            "link": type(obj).__name__[:_LONGEST_NAME],
            "has_predictor": _has_predictor(obj),
            "process": os.getpid(),
            "step": self._step,
            "object": number,
            "holds": [other for other, link in others if _holds(obj, link)],
            "held_by": [other for other, link in others if _holds(link, obj)],
        }
        if number:
            self._at_step.append((number, weakref.ref(obj)))
        return document

    def _advance(self) -> None:
        updates = {id(optimizer): int(getattr(optimizer, "t", 0)) for optimizer in self._optimizers}
        if any(self._updates.get(key, 0) != count for key, count in updates.items()):
            self._step += 1
            self._at_step.clear()
        self._updates = updates

    def _number(self, obj: Any) -> int:  # noqa: ANN401 - as above
        """Return the object's number; 0 for objects that cannot be told apart, such as dicts."""
        try:
            return self._numbers.setdefault(obj, next(self._next))
        except TypeError:
            return 0


def _has_predictor(obj: Any) -> bool:  # noqa: ANN401 - as above
    with contextlib.suppress(Exception):  # it may be a property of the script's
        return _is(obj.predictor, "chainer.link", "Link")
    return False


def _holds(whole: Any, part: Any) -> bool:  # noqa: ANN401 - as above
    """Whether a Link is another one or is in it."""
    if not (_is(whole, "chainer.link", "Link") and _is(part, "chainer.link", "Link")):
        return False
    return any(link is part for link in whole.links())

"""Records each Link that a script saves, so that `launch` finds the model, whatever its name and folder.

Recorded are `save_npz`, `save_hdf5`, `HDF5Serializer.save`, `extensions.snapshot_object`, and `dump` of pickle, dill,
joblib and cloudpickle; a Trainer that is saved, as by `extensions.snapshot`; and the folder `out` of each Trainer that
runs. The records are those of `training_job.metrics.saved` and `.out`. Optimizers are not recorded.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from training_job import metrics
from training_job.hooks import exports_at_exit, import_hook, saved_objects
from training_job.hooks.import_hook import Patch, PatchFinder
from training_job.hooks.saved_objects import TrainingSteps

_saving = threading.local()
_steps = TrainingSteps()


@contextlib.contextmanager
def _outermost() -> Iterator[bool]:
    """Yield whether no other call that saves something is under way in this thread: `save_npz` calls itself."""
    is_outermost = not getattr(_saving, "active", False)
    _saving.active = True
    try:
        yield is_outermost
    finally:
        if is_outermost:
            _saving.active = False


def _recording(save: Callable[..., Any], kind: str, names: Sequence[str]) -> Callable[..., Any]:
    """Wrap a function that saves an object. `names` are its first two parameters, among them `file`."""

    @functools.wraps(save)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the wrapped function
        with _outermost() as is_outermost:
            result = save(*args, **kwargs)
        if is_outermost:
            given = dict(zip(names, args, strict=False)) | kwargs
            file = given.pop("filename", None) or given.get("file")
            _record(file, next((given[name] for name in ("obj", "value") if name in given), None), kind)
        return result

    return call


def _record(file: Any, obj: Any, kind: str, *, is_written: bool = True) -> None:  # noqa: ANN401 - a script's objects
    """Record that an object was saved to a file, if it is or holds a Link. Errors never reach the script."""
    with contextlib.suppress(Exception):
        if saved_objects.is_training_state(obj):
            found, kind = obj, "snapshot"
        else:
            found = saved_objects.link_of(obj, inside=kind == "pickle")
        state = None if found is None else saved_objects.file_state(file, is_written=is_written)
        if state is not None:
            record = {**state, "kind": kind, **_steps.describe(found)}
            metrics.saved(record)
            exports_at_exit.remember(found, record, kind)


@contextlib.contextmanager
def _optimizers(module: ModuleType) -> Iterator[None]:
    yield
    setup = module.Optimizer.setup

    @functools.wraps(setup)
    def call(self: Any, link: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        _steps.follow(self)
        return setup(self, link)

    module.Optimizer.setup = call


@contextlib.contextmanager
def _npz(module: ModuleType) -> Iterator[None]:
    yield
    module.save_npz = _recording(module.save_npz, "npz", ("file", "obj"))  # type: ignore[attr-defined]


@contextlib.contextmanager
def _hdf5(module: ModuleType) -> Iterator[None]:
    yield
    module.save_hdf5 = _recording(module.save_hdf5, "hdf5", ("filename", "obj"))  # type: ignore[attr-defined]
    save = module.HDF5Serializer.save

    @functools.wraps(save)
    def call(self: Any, obj: Any) -> None:  # noqa: ANN401 - Chainer has no types
        with _outermost() as is_outermost:
            save(self, obj)
        if is_outermost:
            _record(self.group.file.filename, obj, "hdf5", is_written=False)

    module.HDF5Serializer.save = call


@contextlib.contextmanager
def _snapshots(module: ModuleType) -> Iterator[None]:
    yield
    make = module._Snapshot._make_snapshot  # noqa: SLF001 - the class behind `extensions.snapshot`

    @functools.wraps(make)
    def call(self: Any, trainer: Any) -> None:  # noqa: ANN401 - Chainer has no types
        writer = self.writer
        target = trainer if self._target is None else self._target

        def write(filename: str, folder: str, serialized: Any) -> None:  # noqa: ANN401 - as above
            writer(filename, folder, serialized)
            _record(Path(folder, filename), target, "npz", is_written=False)  # some writers have only begun

        self.writer = write
        try:
            with _outermost():
                make(self, trainer)
        finally:
            self.writer = writer

    module._Snapshot._make_snapshot = call  # noqa: SLF001 - as above


@contextlib.contextmanager
def _trainer(module: ModuleType) -> Iterator[None]:
    yield
    run = module.Trainer.run

    @functools.wraps(run)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        with contextlib.suppress(Exception):  # as in _record
            folder = Path(os.fspath(self.out)).absolute()
            metrics.out(str(folder), is_new=not folder.exists() or not any(folder.iterdir()))
        return run(self, *args, **kwargs)

    module.Trainer.run = call


def _dump(*names: str) -> Callable[[ModuleType], contextlib.AbstractContextManager[None]]:
    """Return a patcher of a module's `dump`, whose first two parameters are `names`."""

    @contextlib.contextmanager
    def patcher(module: ModuleType) -> Iterator[None]:
        yield
        module.dump = _recording(module.dump, "pickle", names)  # type: ignore[attr-defined]

    return patcher


def _patch(module: str, apply: import_hook.Patcher) -> Patch:
    return Patch(
        module=module,
        symptom="nothing: the model would stay where the script saved it",
        since="-",
        fix="what is saved is recorded for `launch`",
        apply=apply,
    )


PATCHES = (
    _patch("chainer.optimizer", _optimizers),
    _patch("chainer.serializers.npz", _npz),
    _patch("chainer.serializers.hdf5", _hdf5),
    _patch("chainer.training.extensions._snapshot", _snapshots),
    _patch("chainer.training.trainer", _trainer),
    _patch("pickle", _dump("obj", "file")),
    _patch("dill._dill", _dump("obj", "file")),
    _patch("cloudpickle.cloudpickle", _dump("obj", "file")),
    _patch("joblib.numpy_pickle", _dump("value", "filename")),
)

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Install the hooks, if `launch` started this process. Those of modules that are imported already apply at once."""
    if metrics.FILE_VARIABLE not in os.environ or _FINDER in sys.meta_path:
        return
    import_hook.install(_FINDER)
    for patch in PATCHES:
        if patch.module in sys.modules:
            with patch.apply(sys.modules[patch.module]):
                pass

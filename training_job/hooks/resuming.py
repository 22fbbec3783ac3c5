"""Makes Chainer's Trainer continue an earlier start of the job, without a change to the script.

A checkpoint contains what `extensions.snapshot` stores and, in addition, the state of the random generators, the
optimizers' hyperparameters and the metrics so far. It is written

- after the script's own `extensions.snapshot`,
- else every minute (KEDJA_CHECKPOINT_SECONDS), or less often, so that writing takes under a twentieth of the time,
- after SIGTERM: at the end of the iteration; the process then exits with 128 + 15,
- when the training is over, as the rest of the script may be interrupted too.

In an MPI job each rank writes its own checkpoint at the end of each epoch, and all ranks continue from the newest
iteration that every rank has.
"""

import contextlib
import functools
import hashlib
import numbers
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from training_job import checkpoints, metrics, mpi_env
from training_job.checkpoints import Checkpoint, CheckpointInterval, Store
from training_job.errors import CheckpointError
from training_job.hooks import import_hook
from training_job.hooks.import_hook import Patch, PatchFinder
from training_job.sigterm import EXIT_CODE, Termination

_SNAPSHOT_TAKEN = "_kedja_snapshot_taken"

_loops = 0  # training loops that this process has started


class _StopTrigger:
    """Wraps a Trainer's stop trigger, which the loop calls between two iterations."""

    def __init__(self, inner: Any, ask: Callable[[Any], bool]) -> None:  # noqa: ANN401 - any callable
        self.inner = inner
        self._ask = ask

    def __call__(self, trainer: Any) -> bool:  # noqa: ANN401 - Chainer has no types
        return self._ask(trainer)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as above
        return getattr(self.__dict__["inner"], name)


class TrainerCheckpointer:
    """Restores a Trainer from its newest checkpoint, and writes checkpoints while it runs."""

    def __init__(self, trainer: Any, folder: Path, termination: Termination) -> None:  # noqa: ANN401 - as above
        self._trainer = trainer
        self._store = Store(folder / f"rank{mpi_env.rank()}")
        self._folder = folder
        self._termination = termination
        self._resumed_from: Checkpoint | None = None
        self._can_save = True
        self._interval = CheckpointInterval()

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Load the newest matching checkpoint on entry, and write new ones in the block."""
        self._load()
        inner = self._trainer.stop_trigger
        self._trainer.stop_trigger = _StopTrigger(inner, self._is_over)
        try:
            yield
        finally:
            self._trainer.stop_trigger = inner

    def _load(self) -> None:
        for checkpoint in self._store.newest_first(self._newest_common_iteration() if mpi_env.size() > 1 else None):
            if checkpoint.iteration < self._trainer.updater.iteration:
                break  # the script itself has loaded a newer state
            reason = _mismatch(self._trainer, checkpoint.arrays)
            if reason is not None:
                _log(f"the checkpoint of iteration {checkpoint.iteration} is skipped: {reason}")
                continue
            _restore(self._trainer, checkpoint)
            self._store.remove_after(checkpoint.iteration)
            self._resumed_from = checkpoint
            _log(f"continuing from the checkpoint of iteration {checkpoint.iteration}")
            return
        self._store.remove_after(self._trainer.updater.iteration)

    def _newest_common_iteration(self) -> list[int]:
        """Return the newest iteration of which every rank has a readable checkpoint; the same list in each rank."""
        stores = [Store(self._folder / f"rank{rank}") for rank in range(mpi_env.size())]
        common = set.intersection(*(set(store.iterations()) for store in stores))
        for iteration in sorted(common, reverse=True):
            if all(store.can_read(iteration) for store in stores):
                return [iteration]
        if own := self._store.iterations():
            _log(
                f"rank {mpi_env.rank()} has checkpoints of iterations {', '.join(map(str, own))}, and none that every "
                "rank has and can read: all ranks start anew"
            )
        return []

    def _is_over(self, trainer: Any) -> bool:  # noqa: ANN401 - as above
        if self._resumed_from is not None:
            # Not in _load, as initializing extensions sets learning rates and may draw random numbers.
            checkpoint, self._resumed_from = self._resumed_from, None
            _restore_after_initialization(trainer, checkpoint)
            return bool(checkpoint.notes["over"])
        over = bool(trainer.stop_trigger.inner(trainer))
        if trainer.updater.iteration > 0 and (over or self._termination.is_requested or self._is_due(trainer)):
            self._save(trainer, over=over)
        if self._termination.is_requested and not over:
            _log(f"SIGTERM: ended after iteration {trainer.updater.iteration}")
            sys.exit(EXIT_CODE)
        return over

    def _is_due(self, trainer: Any) -> bool:  # noqa: ANN401 - as above
        if trainer.__dict__.pop(_SNAPSHOT_TAKEN, False) and mpi_env.size() == 1:
            return True
        if mpi_env.size() > 1:
            return bool(trainer.updater.is_new_epoch)
        return self._interval.is_due()

    def _save(self, trainer: Any, *, over: bool) -> None:  # noqa: ANN401 - as above
        if not self._can_save:
            return
        try:
            with self._interval.writing():
                self._store.save(_checkpoint(trainer, over=over))
        except Exception as error:  # noqa: BLE001 - a script's own objects must not stop the training
            _log(f"checkpoints cannot be written, and the training continues without: {error!r}")
            self._can_save = False


def _checkpoint(trainer: Any, *, over: bool) -> Checkpoint:  # noqa: ANN401 - as above
    from chainer.serializers import npz  # noqa: PLC0415 - only in a process that trains

    from training_job import random_state  # noqa: PLC0415 - as above

    return Checkpoint(
        iteration=trainer.updater.iteration,
        arrays=npz.serialize(trainer),
        notes={
            "over": over,
            "random": random_state.capture(_own_generators(trainer)),
            "hyperparameters": {
                name: {key: float(value) for key, value in optimizer.hyperparam.get_dict().items() if _is_real(value)}
                for name, optimizer in trainer.updater.get_all_optimizers().items()
            },
            "metrics": metrics.latest(),
        },
    )


def _mismatch(trainer: Any, arrays: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - as above
    """Return why a checkpoint does not match this Trainer, or None. Nothing is loaded."""
    from chainer.serializers import DictionarySerializer  # noqa: PLC0415 - as above

    fresh = DictionarySerializer(path="updater/")
    trainer.updater.serialize(fresh)
    for name, value in fresh.target.items():
        if name not in arrays:
            return f"it has no {name}"
        shape = getattr(value, "shape", ())
        if shape != () and arrays[name].shape != shape:
            return f"its {name} has shape {arrays[name].shape}, and this script's {shape}"
    return None


def _restore(trainer: Any, checkpoint: Checkpoint) -> None:  # noqa: ANN401 - as above
    from chainer.serializers import NpzDeserializer  # noqa: PLC0415 - as above

    try:
        NpzDeserializer(checkpoint.arrays).load(trainer)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint of iteration {checkpoint.iteration} does not fit this script: {error!r}; remove it to "
            "start anew"
        ) from error
    for entry in trainer._extensions.values():  # noqa: SLF001 - get_extension needs a name, and scripts rename extensions
        if getattr(entry.extension, "autoload", False):
            entry.extension.autoload = False  # its snapshot is older


def _restore_after_initialization(trainer: Any, checkpoint: Checkpoint) -> None:  # noqa: ANN401 - as above
    from chainer.backends import cuda  # noqa: PLC0415 - as above

    from training_job import device, random_state  # noqa: PLC0415 - as above

    for name, values in checkpoint.notes["hyperparameters"].items():
        optimizer = trainer.updater.get_optimizer(name)
        if type(optimizer).__name__ == "_MultiNodeOptimizer":
            # Mark the first update as done, which in ChainerMN only broadcasts the weights.
            optimizer.is_changed(optimizer.target)
        hyperparameters = optimizer.hyperparam
        for key, value in values.items():
            setattr(hyperparameters, key, value)
    random_state.restore(checkpoint.notes["random"], _own_generators(trainer))
    # The image for GPUs has CuPy on CPU nodes, too.
    if device.usable_gpus():
        cuda.cupy.random.seed(checkpoint.iteration)  # the state of CuPy's generator cannot be read
    for name, (value, step) in checkpoint.notes["metrics"].items():
        metrics.log({name: value}, step=step)


def _own_generators(trainer: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Return the RandomStates that belong to the iterators' order samplers only."""
    import numpy as np  # noqa: PLC0415 - as above

    iterators = getattr(trainer.updater, "_iterators", {})
    found = [getattr(getattr(iterators[name], "order_sampler", None), "_random", None) for name in sorted(iterators)]
    shared = np.random.mtrand._rand  # noqa: SLF001 - NumPy's global one
    return [one for one in found if isinstance(one, np.random.RandomState) and one is not shared]


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _loop_folder() -> Path:
    """Return the folder of this process' next loop, which is the same when the job is started again.

    Arguments that are paths are ignored, as another node may mount the same data elsewhere.
    """
    from multiprocessing import current_process  # noqa: PLC0415 - only in a process that trains

    global _loops  # noqa: PLW0603 - a counter of this process
    _loops += 1
    words = [Path(sys.argv[0]).name, *(word for word in sys.argv[1:] if "/" not in word)]
    digest = hashlib.sha256("\0".join([*words, current_process().name, str(_loops)]).encode()).hexdigest()
    return Path(os.environ[checkpoints.FOLDER_VARIABLE]) / f"{checkpoints.LOOP_PREFIX}{digest[:16]}"


def _log(text: str) -> None:
    print(f"kedja: {text}", file=sys.stderr, flush=True)  # noqa: T201 - part of the job's log


@contextlib.contextmanager
def _trainer(module: ModuleType) -> Iterator[None]:
    yield
    run = module.Trainer.run

    @functools.wraps(run)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        if self._done:
            return run(self, *args, **kwargs)
        with Termination() as termination, TrainerCheckpointer(self, _loop_folder(), termination).active():
            return run(self, *args, **kwargs)

    module.Trainer.run = call


@contextlib.contextmanager
def _snapshot(module: ModuleType) -> Iterator[None]:
    yield
    take = module._Snapshot.__call__  # noqa: SLF001 - the class behind `extensions.snapshot`

    @functools.wraps(take)
    def call(self: Any, trainer: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        setattr(trainer, _SNAPSHOT_TAKEN, True)
        return take(self, trainer)

    module._Snapshot.__call__ = call  # noqa: SLF001 - as above


PATCHES = (
    Patch(
        module="chainer.training.trainer",
        symptom="nothing: a Trainer that was interrupted would start over",
        since="-",
        fix="run() loads the newest checkpoint of the job, and writes new ones",
        apply=_trainer,
    ),
    Patch(
        module="chainer.training.extensions._snapshot",
        symptom="nothing: snapshots would only be in the working directory",
        since="-",
        fix="a checkpoint is written whenever the script takes a snapshot",
        apply=_snapshot,
    ),
)

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Install the hooks, if `launch` started this process."""
    if checkpoints.FOLDER_VARIABLE in os.environ:
        import_hook.install(_FINDER)

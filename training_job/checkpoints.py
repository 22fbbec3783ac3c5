"""Checkpoints, from which a restarted job continues.

A checkpoint is one .npz, `checkpoint-<iteration, 12 digits>.npz`: arrays under `state/`, and under `notes` JSON in
UTF-8 bytes. It contains no pickled objects and is written atomically; the newest two are kept. `launch` sets the folder
in KEDJA_CHECKPOINTS, in which each training loop has its own folder.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_job.atomic_write import DAMAGED_ARRAYS, open_atomic
from training_job.errors import CheckpointError

FOLDER_VARIABLE = "KEDJA_CHECKPOINTS"
SECONDS_VARIABLE = "KEDJA_CHECKPOINT_SECONDS"
LOOP_PREFIX = "loop-"
"""Prefix of the folders of training loops."""

_MIN_TRAINING_RATIO = 20  # training takes at least this many times longer than writing checkpoints
_KEPT = 2  # the newest, and one more in case it is damaged
_NAME = re.compile(r"checkpoint-(\d{12})\.npz")
_STATE, _NOTES = "state/", "notes"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a training loop after `iteration` iterations. An array may be None."""

    iteration: int
    arrays: Mapping[str, Any]
    notes: Mapping[str, Any]


class Store:
    """The checkpoints of one training loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, remove all but the newest two, and return the path.

        Raises:
            CheckpointError: An array contains Python objects.
        """
        import numpy as np  # noqa: PLC0415 - only in a process that trains

        arrays: dict[str, Any] = {}
        nones = []
        for name, value in checkpoint.arrays.items():
            array = np.asarray(value)
            if array.dtype.kind != "O":
                arrays[_STATE + name] = array
            elif array.ndim == 0 and array[()] is None:
                nones.append(name)
            else:
                raise CheckpointError(f"{name} contains Python objects, which a checkpoint cannot store")
        notes = json.dumps({**checkpoint.notes, "nones": nones}).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(checkpoint.iteration)
        with open_atomic(path) as stream:
            np.savez(stream, **arrays, notes=np.frombuffer(notes, np.uint8))
        for iteration in self.iterations()[_KEPT:]:
            self._path(iteration).unlink(missing_ok=True)
        return path

    def iterations(self) -> list[int]:
        """Return the iterations of the checkpoints, newest first."""
        try:
            names = [match[1] for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        except FileNotFoundError:
            return []
        return sorted(map(int, names), reverse=True)

    def can_read(self, iteration: int) -> bool:
        """Whether the checkpoint of an iteration can be read."""
        try:
            _read(self._path(iteration), iteration)
        except CheckpointError:
            return False
        return True

    def remove_after(self, iteration: int) -> None:
        """Remove the checkpoints of later iterations, if training continues from this one."""
        for later in self.iterations():
            if later > iteration:
                self._path(later).unlink(missing_ok=True)

    def newest_first(self, among: Collection[int] | None = None) -> Iterator[Checkpoint]:
        """Yield the readable checkpoints, newest first, and log a warning for each other one.

        `among` restricts the iterations.
        """
        for iteration in self.iterations():
            if among is not None and iteration not in among:
                continue
            path = self._path(iteration)
            try:
                yield _read(path, iteration)
            except CheckpointError as error:
                logger.warning("%s", error)

    def _path(self, iteration: int) -> Path:
        return self._folder / f"checkpoint-{iteration:012}.npz"


class CheckpointInterval:
    """Decides when the next checkpoint of a training loop is due, limiting the time spent on writing."""

    def __init__(self) -> None:
        self._at, self._cost = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint."""
        return time.monotonic() - self._at >= max(seconds(), _MIN_TRAINING_RATIO * self._cost)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Measure how long writing a checkpoint takes, and restart the interval."""
        begun = time.monotonic()
        yield
        self._at = time.monotonic()
        self._cost = self._at - begun


def clear(folder: Path) -> None:
    """Remove the checkpoints of all loops, as a completed job is not continued. Other files stay."""
    for path in folder.glob(f"{LOOP_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def seconds() -> float:
    """Return the minimum number of seconds between two checkpoints, from KEDJA_CHECKPOINT_SECONDS."""
    return float(os.environ.get(SECONDS_VARIABLE, "60"))


def _read(path: Path, iteration: int) -> Checkpoint:
    import numpy as np  # noqa: PLC0415 - as above

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        notes = json.loads(content.pop(_NOTES).tobytes())
        arrays = {name.removeprefix(_STATE): array for name, array in content.items()}
        arrays |= {name: np.asarray(None) for name in notes["nones"]}
    except DAMAGED_ARRAYS as error:
        raise CheckpointError(f"{path.name} is damaged and is skipped: {error!r}") from error
    return Checkpoint(iteration=iteration, arrays=arrays, notes=notes)

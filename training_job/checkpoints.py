"""Checkpoints: what a restarted job goes on from.

A checkpoint is one .npz, `checkpoint-<iteration, 12 digits>.npz`: arrays under `state/`, and under `notes` JSON in
UTF-8 bytes. It holds no pickled object, is there whole or not at all, and the newest two are kept. `launch` names the
folder in KEDJA_CHECKPOINTS; each training loop has a folder of its own in it.
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
"""How the folders of training loops begin."""

_MIN_TRAINING_RATIO = 20  # how many times longer the training takes than the writing of its checkpoints
_KEPT = 2  # the newest, and one in case that one is damaged
_NAME = re.compile(r"checkpoint-(\d{12})\.npz")
_STATE, _NOTES = "state/", "notes"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The state of a training loop after so many iterations. A None among the arrays is kept."""

    iteration: int
    arrays: Mapping[str, Any]
    notes: Mapping[str, Any]


class Store:
    """The checkpoints of one training loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, and remove the oldest ones.

        Raises:
            CheckpointError: An array holds Python objects.
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
                raise CheckpointError(f"{name} holds Python objects, which no checkpoint can keep")
        notes = json.dumps({**checkpoint.notes, "nones": nones}).encode()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(checkpoint.iteration)
        with open_atomic(path) as stream:
            np.savez(stream, **arrays, notes=np.frombuffer(notes, np.uint8))
        for iteration in self.iterations()[_KEPT:]:
            self._path(iteration).unlink(missing_ok=True)
        return path

    def iterations(self) -> list[int]:
        """Return the iterations that there is a checkpoint of, the newest first."""
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
        """Remove the checkpoints of later iterations, which would outlive those of a training that goes on here."""
        for later in self.iterations():
            if later > iteration:
                self._path(later).unlink(missing_ok=True)

    def newest_first(self, among: Collection[int] | None = None) -> Iterator[Checkpoint]:
        """Yield the checkpoints that can be read, and say of each other one that it is passed over."""
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
    """When a training loop's next checkpoint is due: as often as is asked, but seldom enough to cost little time."""

    def __init__(self) -> None:
        self._at, self._cost = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Whether enough time has passed since the last checkpoint."""
        return time.monotonic() - self._at >= max(seconds(), _MIN_TRAINING_RATIO * self._cost)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Measure how long the writing of a checkpoint takes."""
        begun = time.monotonic()
        yield
        self._at = time.monotonic()
        self._cost = self._at - begun


def clear(folder: Path) -> None:
    """Remove the checkpoints of all loops; nobody goes on from a job that is done. Other files stay."""
    for path in folder.glob(f"{LOOP_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def seconds() -> float:
    """Return how long to wait between two checkpoints, at least."""
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
        raise CheckpointError(f"{path.name} is damaged and is passed over: {error!r}") from error
    return Checkpoint(iteration=iteration, arrays=arrays, notes=notes)

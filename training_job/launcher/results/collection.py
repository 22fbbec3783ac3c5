"""Collects into `outputs` what a script left elsewhere: the Links that it saved, and the folders of its Trainers.

A file keeps its path relative to the working directory: `result/model.npz` becomes `outputs/result/model.npz`. It is a
hard link, or a copy if `outputs` is on another disk. What the script itself wrote to `outputs` stays as it is. Not
collected are the dropped scripts and data, installed packages, and Kedja's own files.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training_job.atomic_write import write_json
from training_job.job import Job
from training_job.launcher.results.saved_files import SavedFile, files_in, series

MOST_BYTES = 4 << 30
"""Max size of all collected files, but for the model, which is always collected."""
MOST_FILES = 10_000
KEPT_OF_A_SERIES = 3
_NAMED = 5
_BEFORE, _COLLECTED = "before.json", "collected.json"
_MODEL_ENDINGS = frozenset(
    {"", ".npz", ".h5", ".hdf5", ".pkl", ".pickle", ".model", ".state", ".params", ".weights", ".joblib", ".dill"}
)
"""Endings of files of which a numbered series is thinned out: pictures and logs are all kept."""


@dataclass
class Collection:
    """What was collected. `files` has the place below `outputs` of each original, `notes` what was left out and why."""

    files: dict[Path, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def remember(job: Job) -> None:
    """Write down which files are in the working directory before the script starts, the first time that it does."""
    state = job.state / _BEFORE
    if not state.exists():
        write_json(state, [path.relative_to(job.folder).as_posix() for path in files_in(job.folder, [job.outputs])])


def written(job: Job) -> list[Path]:
    """Return the files in the working directory, but for those in `outputs`, that were not there before the script."""
    before = {job.folder / name for name in _read(job.state / _BEFORE)}
    return [path for path in files_in(job.folder, _excluded(job)) if path not in before]


def collect(
    job: Job,
    saved: Mapping[Path, SavedFile],
    outs: Mapping[Path, bool],
    first: Sequence[Path] = (),
    *,
    limit: int = MOST_BYTES,
) -> Collection:
    """Collect the saved files and those of the Trainers' folders `outs`, of a numbered series the last three.

    `outs` says of each folder whether it was new: of another folder outside of the working directory, only what was
    saved is collected. The files `first` are collected whatever the limit of bytes, and also what is in their folders.
    """
    collection = Collection()
    found = dict.fromkeys([*_collectable(job, [*first, *saved]), *_of_trainers(job, outs), *_beside(job, first)])
    kept = _without_long_series(job, found, saved, frozenset(first), collection)
    too_many: list[Path] = []
    size = 0
    for path in sorted(kept, key=lambda path: (path not in first, _size(path), -_modified(path))):
        size += _size(path)
        if path not in first and (size > limit or len(collection.files) >= MOST_FILES):
            too_many.append(path)
            continue
        place = _place(job, path, outs)
        if place is None:
            continue
        try:
            if not place.exists():
                link(path, place)
            collection.files[path] = place
        except OSError as error:
            collection.notes.append(f"{shown(job, path)} could not be collected: {error.strerror}.")
    if too_many:
        collection.notes.append(
            f"Not collected, as the limit is {MOST_FILES:,} files and {limit / (1 << 30):.3g} GiB: "
            f"{_names(job, too_many)}. Write to outputs what is to be kept."
        )
    return collection


def remove_earlier(job: Job) -> None:
    """Remove from `outputs` what an earlier start of this job collected: the script may have changed it since."""
    for name in _read(job.state / _COLLECTED):
        (job.outputs / name).unlink(missing_ok=True)


def remember_collected(job: Job, places: Iterable[Path]) -> None:
    """Write down which files of `outputs` were made when the script had ended."""
    write_json(job.state / _COLLECTED, [place.relative_to(job.outputs).as_posix() for place in places])


def remember_more(job: Job, places: Iterable[Path]) -> None:
    """Write down further files of `outputs` that were made when the script had ended."""
    remember_collected(job, [*(job.outputs / name for name in _read(job.state / _COLLECTED)), *places])


def link(path: Path, place: Path) -> None:
    """Make a file appear in another place: by a hard link or, if that is not possible, as a copy.

    Raises:
        OSError: The file cannot be read, or there is no space for a copy.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, place)
    except OSError:  # another disk, or a file system without hard links
        try:
            shutil.copy2(path, place)
        except OSError:
            place.unlink(missing_ok=True)
            raise


def shown(job: Job, path: Path) -> str:
    """Return a path for people: relative to the working directory if it is there."""
    return path.relative_to(job.folder).as_posix() if path.is_relative_to(job.folder) else str(path)


def _collectable(job: Job, paths: Iterable[Path]) -> list[Path]:
    """Return the paths that are not excluded. What was saved among the links to the data is not of the data."""
    excluded = _excluded(job)
    return [
        path
        for path in paths
        if (path.is_relative_to(job.data_links) and not path.is_symlink())
        or not any(path.is_relative_to(folder) for folder in excluded)
    ]


def _of_trainers(job: Job, outs: Mapping[Path, bool]) -> Iterator[Path]:
    """Yield the files in the Trainers' folders."""
    inside = written(job) if any(folder.is_relative_to(job.folder) for folder in outs) else []
    for folder, is_new in outs.items():
        if folder.is_relative_to(job.folder):
            yield from (path for path in inside if path.is_relative_to(folder))
        elif is_new and _collectable(job, [folder]):
            yield from files_in(folder, _excluded(job))


def _beside(job: Job, first: Sequence[Path]) -> list[Path]:
    """Return the files that were written to the folders of these files, such as a vocabulary beside its model."""
    folders = {path.parent for path in first} - {job.folder}
    return [path for path in written(job) if path.parent in folders] if folders else []


def _excluded(job: Job) -> list[Path]:
    """Return the folders of which nothing is collected, by both their names if one is a link."""
    folders = [job.outputs, job.state, job.snapshot, job.checkpoints, *([job.data] if job.data is not None else [])]
    return [*dict.fromkeys([*folders, *map(Path, map(os.path.realpath, folders))])]


def _without_long_series(
    job: Job, found: Iterable[Path], saved: Mapping[Path, SavedFile], first: frozenset[Path], collection: Collection
) -> list[Path]:
    """Leave out all but the last files of each numbered series of models."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    kept = []
    for path in found:
        key = series(path)
        if key is None or (path not in saved and path.suffix.lower() not in _MODEL_ENDINGS):
            kept.append(path)
        else:
            groups.setdefault(key, []).append(path)
    for (folder, pattern), paths in groups.items():
        paths.sort(key=lambda path: (_modified(path), path.name))
        last = [path for path in paths[:-KEPT_OF_A_SERIES] if path in first] + paths[-KEPT_OF_A_SERIES:]
        kept += last
        if len(last) < len(paths):
            name = shown(job, folder / pattern.replace("#", "*"))
            collection.notes.append(f"Of the {len(paths)} files {name}, the last {KEPT_OF_A_SERIES} were collected.")
    return kept


def _place(job: Job, path: Path, outs: Mapping[Path, bool]) -> Path | None:
    """Return where a file belongs below `outputs`; None if the script has a file of its own there."""
    out = next((folder for folder in outs if path.is_relative_to(folder)), None)
    if path.is_relative_to(job.data_links):
        own = path.relative_to(job.data_links)
    elif path.is_relative_to(job.folder):
        own = path.relative_to(job.folder)
    elif out is not None:
        own = out.name / path.relative_to(out)
    else:
        own = Path(path.parent.name, path.name)
    place = job.outputs / own
    return None if place.exists() and not place.samefile(path) else place


def _read(state: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        return [str(name) for name in json.loads(state.read_text(encoding="utf-8"))]
    return []


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _modified(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _names(job: Job, paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(shown(job, path) for path in paths[:_NAMED]) + more

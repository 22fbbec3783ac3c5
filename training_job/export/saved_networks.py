"""The Links that a script saved last, and their export when its process ends.

The weights are read from the saved file, as that is what is registered, and loaded into the Link itself: the process
ends, and a copy would copy what the script attached to its Link, such as a dataset.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training_job.errors import ExportError
from training_job.export import entries, exporter, exports, weights
from training_job.export.entry import Entry
from training_job.export.exports import ExportedNetwork, Exports, Failure, Source
from training_job.export.options import Options
from training_job.export.recorded_calls import RecordedCalls
from training_job.export.trace import NotExportableError
from training_job.export.weights import Format

ONLY_NAME = "model"
_MOST_NETWORKS = 8
_SERIES = re.compile(r"(?i)[._-]*(?:iter(?:ation)?|epochs?|step|snapshot)?[._-]*\d*$")


@dataclass(frozen=True, kw_only=True)
class SavedLink:
    """A Link that was saved to a file: as a whole, or as the part of a snapshot whose arrays begin with `prefix`."""

    link: Any
    path: Path
    format: Format
    name: str
    prefix: str = ""
    inode: tuple[int, int] | None = None


class SavedNetworks:
    """Remembers what was saved at the last step of the training, and the script's own `outputs/model.npz`."""

    def __init__(self) -> None:
        self._saved: dict[tuple[int, str], SavedLink] = {}
        self._step: object = None

    def __bool__(self) -> bool:
        return bool(self._saved)

    def add(self, saved: SavedLink, step: object) -> None:
        """Remember a Link. Those of earlier steps are forgotten."""
        if step != self._step:
            self._saved = {key: one for key, one in self._saved.items() if _is_own_model(one.path)}
            self._step = step
        self._saved.pop((id(saved.link), str(saved.path)), None)
        self._saved[id(saved.link), str(saved.path)] = saved

    def last(self) -> list[SavedLink]:
        """Return the Links to export, each once, in the order in which they were saved."""
        found: dict[int, SavedLink] = {}
        for one in self._saved.values():
            if id(one.link) not in found or not _is_own_model(found[id(one.link)].path):
                found.pop(id(one.link), None)
                found[id(one.link)] = one
        return list(found.values())[-_MOST_NETWORKS:]


def _is_own_model(path: Path) -> bool:
    return path.parts[-2:] == ("outputs", "model.npz")


def parts_of_snapshot(training: Any, path: Path) -> Iterator[SavedLink]:  # noqa: ANN401 - a Trainer or an Updater
    """Yield the Links in a snapshot, as `trainer_snapshot` of the launcher finds them."""
    is_trainer = hasattr(training, "updater")
    updater = training.updater if is_trainer else training
    for name, optimizer in updater.get_all_optimizers().items():
        if optimizer.target is not None:
            yield SavedLink(
                link=optimizer.target,
                path=path,
                format=Format.SNAPSHOT,
                name=ONLY_NAME if name == "main" else name,
                prefix=f"{'updater/' if is_trainer else ''}model:{name}/",
            )


def export(saved: list[SavedLink], calls: RecordedCalls, folder: Path, options: Options) -> Exports:
    """Export each Link into a new folder, and write what was exported and what was not."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    networks: list[ExportedNetwork] = []
    failures: list[Failure] = []
    chosen: list[tuple[SavedLink, Source, Entry]] = []
    for one in saved:
        try:
            source = _source(one)
            weights.load(source.path, one.format, one.link, one.prefix)
            _to_cpu(one.link)
            chosen += [(one, source, entry) for entry in entries.choose(one.link, _name(one, saved), calls)]
        except ExportError as error:
            failures.append(_failure(one, error))
    for one, source, entry in _named_apart(chosen):
        try:
            if len(saved) > 1:  # another Link may share its parts
                weights.load(source.path, one.format, one.link, one.prefix)
            networks.append(exporter.export(entry, source, folder, options, is_only=len(chosen) == 1))
        except ExportError as error:
            failures.append(_failure(one, error, entry))
    result = Exports(tuple(networks), tuple(failures))
    exports.write(folder, result)
    return result


def _source(saved: SavedLink) -> Source:
    path = saved.path
    if not path.is_file():  # it may have been renamed
        found = [one for one in path.parent.glob("*") if one.is_file() and _inode(one) == saved.inode]
        if not found:
            raise ExportError(f"{path.name} is no longer there")
        path = found[0]
    try:
        return Source.of_file(path)
    except OSError as error:
        raise ExportError(f"{path.name} cannot be read: {error.strerror}") from error


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _to_cpu(link: Any) -> None:  # noqa: ANN401 - Chainer has no types
    try:
        link.to_device("@numpy")
    except Exception as error:  # a Link may override it
        raise ExportError(f"it cannot be copied to the CPU: {type(error).__name__}: {error}") from error


def _name(saved: SavedLink, all_saved: list[SavedLink]) -> str:
    if len(all_saved) == 1:
        return ONLY_NAME
    if saved.format is Format.SNAPSHOT:
        return entries.file_name(saved.name)
    stem = saved.path.name.removesuffix(saved.path.suffix)
    return entries.file_name(_SERIES.sub("", stem) or stem)


def _named_apart(chosen: list[tuple[SavedLink, Source, Entry]]) -> Iterator[tuple[SavedLink, Source, Entry]]:
    """Yield the same with a number at the end of names that were used already."""
    used: set[str] = set()
    for saved, source, entry in chosen:
        name = ONLY_NAME if len(chosen) == 1 else entry.name
        free = next(one for one in (name, *(f"{name}{n}" for n in range(2, 1000))) if one not in used)
        used.add(free)
        yield saved, source, replace(entry, name=free)


def _failure(saved: SavedLink, error: ExportError, entry: Entry | None = None) -> Failure:
    link, path = (saved.link, "") if entry is None else (entry.link, entry.path.strip("/"))
    if isinstance(error, NotExportableError):
        path = error.path
    return Failure(
        link=type(link).__name__,
        reason=str(error),
        source=saved.path,
        function=error.function if isinstance(error, NotExportableError) else None,
        path=path or None,
    )

"""Which exported networks have the weights of the registered model."""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from training_job.export.exports import ExportedNetwork, Exports

_OF_MODEL = re.compile(r"(?:updater/)?model:(?P<model>[^/]+)/(?P<array>.+)")
_LONGEST_LIST = 200_000

type _Arrays = Mapping[str, tuple[int, int]]
"""The checksum and size of each array of an archive, by its name."""


def files_of(path: Path) -> list[Path]:
    """Return the files of a model: itself, or those in its folder, sorted."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def networks_of(exports: Exports, files: Sequence[Path]) -> tuple[ExportedNetwork, ...]:
    """Return the networks whose weights are those of one of these files.

    A file counts as a network's if it has the content of the file that was exported, or if that is a Trainer's snapshot
    which has the arrays of this file as one of its models.
    """
    digests = {_sha256(file) for file in files}
    arrays = [found for file in files if (found := _arrays(file))]
    return tuple(
        network
        for network in exports.networks
        if network.source.sha256 in digests or any(model in arrays for model in _models(network.source.path))
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _arrays(path: Path) -> _Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            return {entry.filename: (entry.CRC, entry.file_size) for entry in archive.infolist()[:_LONGEST_LIST]}
    except (OSError, zipfile.BadZipFile):
        return {}


def _models(snapshot: Path) -> Iterable[_Arrays]:
    """Return the arrays of each model in a Trainer's snapshot; nothing for other files."""
    models: dict[str, dict[str, tuple[int, int]]] = {}
    for name, value in _arrays(snapshot).items():
        found = _OF_MODEL.fullmatch(name)
        if found:
            models.setdefault(found["model"], {})[found["array"]] = value
    return models.values()

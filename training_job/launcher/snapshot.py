"""The files of a drop as its manifest lists them, and whether they are unchanged.

`<snapshot>/manifest.json`::

    {"version": 1, "experiment": "digits", "drop": "<64 hex digits>",
     "scripts": [{"name": "train.py", "size": 1234, "md5": "<base64, or null>", "etag": "0x8D…"}],
     "data": [{"name": "train/a.png", "size": 10, "md5": null, "etag": "0x8D…"}],
     "entry_script": "train.py", "ignored": ["_SUCCESS", ".*", "*.tmp"]}

beside `<snapshot>/scripts/**`. Names are relative and use `/`. md5 is the blob's Content-MD5: base64 of the 16 bytes.
A job does not need `ignored`: the patterns (fnmatch) of the names that are no part of a drop.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from training_job.errors import ChangedSinceSnapshotError, SnapshotError

RESERVED = ("training_job", "outputs", "logs", ".kedja")
"""Names in the job's folder that no dropped script may have. A dropped outputs/model.npz would be registered as a
result of this job."""

_VERSION = 1
_WHOLE_DROP = PurePosixPath()


@dataclass(frozen=True, kw_only=True)
class File:
    """A dropped file. `size` is in bytes. `md5` is in base64; if it is None, only the size is compared."""

    name: str
    size: int
    md5: str | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The dropped files. `folder` contains the scripts."""

    folder: Path
    scripts: tuple[File, ...]
    data: tuple[File, ...]


@dataclass(frozen=True)
class FileStates:
    """The state of each data file when it was verified: name to (size, time of change in nanoseconds)."""

    files: Mapping[str, tuple[int, int]]


def read(folder: Path) -> Snapshot:
    """Return the snapshot that `<folder>/manifest.json` describes.

    Raises:
        SnapshotError: It is missing, damaged, of an unknown version, or names a file outside of its folder.
    """
    path = folder / "manifest.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["version"] != _VERSION:
            raise SnapshotError(f"{path} has version {document['version']}: {_VERSION} is what this Kedja reads")
        return Snapshot(
            folder=folder,
            scripts=_files(document["scripts"]),
            data=_files(document["data"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{path} is no snapshot's manifest: {error!r}") from error


def copy_scripts(snapshot: Snapshot, target: Path, code: PurePosixPath = _WHOLE_DROP) -> None:
    """Copy the scripts into the job's folder, as they were dropped.

    Only those in the folder `code` are copied, under their names relative to it.

    Raises:
        SnapshotError: A script has a reserved name, or there is no script in `code`.
        ChangedSinceSnapshotError: A script differs from the manifest.
    """
    paths = {file: PurePosixPath(file.name) for file in snapshot.scripts}
    inside = {file: path.relative_to(code) for file, path in paths.items() if path.is_relative_to(code)}
    if code.parts and not inside:
        raise SnapshotError(f"job.yaml says code: {code}, and the drop has no script in that folder")
    for file, path in inside.items():
        top = path.parts[0] if path.parts else "."
        if top in (*RESERVED, "."):
            raise SnapshotError(
                f"the dropped script {file.name} takes the name {top!r}, which the job needs: rename it"
            )
    for file, path in inside.items():
        source = snapshot.folder / "scripts" / file.name
        _compare(file, source, "script")
        copy = target / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def verify_data(snapshot: Snapshot, folder: Path, known: FileStates | None = None) -> FileStates:
    """Compare the dropped files in a folder with the manifest: sizes and MD5. Files of no drop do not count.

    If `known` is the result of an earlier call, only files that have changed since then are read again.

    Raises:
        ChangedSinceSnapshotError: A file is missing or different.
    """
    states = {}
    for file in snapshot.data:
        path = folder / file.name
        state = _state(path)
        if state is None or known is None or known.files.get(file.name) != state:
            _compare(file, path, "data file")
            state = _state(path) or (0, 0)
        states[file.name] = state
    return FileStates(states)


def _files(entries: Sequence[Mapping[str, Any]]) -> tuple[File, ...]:
    files = tuple(File(name=str(entry["name"]), size=int(entry["size"]), md5=entry["md5"]) for entry in entries)
    for file in files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise SnapshotError(f"the manifest names {file.name!r}, which is no relative name inside its folder")
    return files


def _compare(file: File, path: Path, kind: str) -> None:
    try:
        size = path.stat().st_size
        if size != file.size:
            raise ChangedSinceSnapshotError(
                f"{kind} {file.name} has {size} bytes; it had {file.size} when it was dropped"
            )
        if file.md5 is not None and _md5(path) != file.md5:
            raise ChangedSinceSnapshotError(f"{kind} {file.name} has other content than when it was dropped")
    except FileNotFoundError:
        raise ChangedSinceSnapshotError(f"{kind} {file.name} is gone since it was dropped") from None


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return base64.b64encode(digest.digest()).decode()


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns

"""Archives among the scripts: the content of a top-level archive counts as if its files had been dropped.

An archive in a subfolder or in another archive is a file like any other. If an archive contains a single top-level
folder, like a downloaded repository, that folder is removed from the paths.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from attrs import evolve, frozen

from function_app.domain import naming
from function_app.domain.contents import DroppedFile
from function_app.domain.drop import Drop, Unpacked
from function_app.domain.drop_ref import DropRef
from function_app.drops import archive_reader
from function_app.drops.archive_reader import LARGEST, ArchiveRefused, is_archive
from function_app.drops.path_rules import parent_folders
from function_app.errors import BlobNotFound
from function_app.ports.storage import Blobs
from function_app.store.snapshots import SourceChanged

HOW_TO_FIX = "Drop an archive that contains only regular files, or drop the files themselves."


@frozen
class ScriptArchives:
    """Reads the archives among the scripts of drops."""

    blobs: Blobs

    def expand(self, drop: Drop) -> Drop:
        """Return the drop with the content of its archives, or with the reason why an archive is refused.

        Raises:
            SourceChanged: an archive has changed since it was listed.
        """
        archives = [file for file in drop.scripts if is_top_archive(file.name)]
        if not archives:
            return drop
        try:
            _check_sizes(archives)
            unpacked = [self._look(drop, archive) for archive in archives]
            _check_places(drop, unpacked)
        except ArchiveRefused as refused:
            return evolve(drop, refusal=(str(refused), HOW_TO_FIX))
        return evolve(drop, unpacked=unpacked)

    def unpack(self, drop: Drop, ref: DropRef) -> None:
        """Write the files of the drop's archives into its snapshot, except files that are already there.

        Raises:
            SourceChanged: an archive has changed since it was listed.
        """
        if not drop.unpacked:
            return
        prefix = f"{naming.snapshot_prefix(ref)}scripts/"
        there = {item.name: item.md5 for item in self.blobs.list(naming.SNAPSHOTS, prefix).items}
        for one in drop.unpacked:
            if any(there.get(f"{prefix}{file.name}") != file.md5 for file in one.files):
                for file, content in self.files(drop, one):
                    if there.get(f"{prefix}{file.name}") != file.md5:
                        self.blobs.replace(naming.SNAPSHOTS, f"{prefix}{file.name}", content)

    def files(self, drop: Drop, unpacked: Unpacked) -> Iterator[tuple[DroppedFile, bytes]]:
        """Yield each file of an archive, including job.yaml, with its content.

        Raises:
            SourceChanged: the archive has changed since it was listed.
        """
        wanted = {file.name: file for file in unpacked.files}
        for path, content in archive_reader.iter_files(unpacked.archive.name, self._read(drop, unpacked.archive)):
            yield wanted[path.removeprefix(unpacked.folder)], content

    def read(self, drop: Drop, name: str) -> bytes | None:
        """Return the content of a file in one of the drop's archives, or None if there is no such file.

        Raises:
            SourceChanged: the archive has changed since it was listed.
        """
        for unpacked in drop.unpacked:
            if any(file.name == name for file in unpacked.files):
                return next(content for file, content in self.files(drop, unpacked) if file.name == name)
        return None

    def _look(self, drop: Drop, archive: DroppedFile) -> Unpacked:
        found = {}
        for path, content in archive_reader.iter_files(archive.name, self._read(drop, archive)):
            if path in found:
                raise _refused(archive, f"it contains {path!r} twice")
            digest = hashlib.md5(content, usedforsecurity=False).digest()
            found[path] = DroppedFile(
                name=path, size=len(content), etag=archive.etag, md5=base64.b64encode(digest).decode()
            )
        folder = _only_folder(found)
        files = [replace(file, name=path.removeprefix(folder)) for path, file in sorted(found.items())]
        return Unpacked(archive=archive, folder=folder, files=files)

    def _read(self, drop: Drop, archive: DroppedFile) -> bytes:
        name = f"{drop.folder}/{archive.name}"
        changed = f"{naming.SCRIPTS}/{name} changed while its drop was being read."
        try:
            blob = self.blobs.read(naming.SCRIPTS, name, limit=LARGEST + 1)
        except BlobNotFound as error:
            raise SourceChanged(changed) from error
        if blob.etag != archive.etag:
            raise SourceChanged(changed)
        return blob.data


def is_top_archive(name: str) -> bool:
    """Return whether a script is an archive to unpack."""
    return "/" not in name and is_archive(name)


def _check_sizes(archives: Iterable[DroppedFile]) -> None:
    """Refuse archives that are too large, before reading any."""
    total = 0
    for archive in archives:
        total += archive.size
        if total > LARGEST:
            raise _refused(archive, f"the archives of a drop may have at most {LARGEST} bytes in total")


def _check_places(drop: Drop, archives: Iterable[Unpacked]) -> None:
    """Refuse a file whose path conflicts with another, also on systems that ignore case."""
    loose = [*drop.scripts, *([drop.job_yaml] if drop.job_yaml else [])]
    taken = {_folded(file.name): file.name for file in loose if not is_top_archive(file.name)}
    folders = {folder for name in taken for folder in parent_folders(name)}
    for one in archives:
        for file in one.files:
            folded = _folded(file.name)
            if folded in taken:
                raise _refused(one.archive, f"{file.name!r} would replace {taken[folded]!r}")
            if folded in folders or (clash := next((up for up in parent_folders(folded) if up in taken), None)):
                other = taken[clash] if folded not in folders and clash else file.name
                raise _refused(one.archive, f"{file.name!r} would make {other!r} both a file and a folder")
            taken[folded] = file.name
            folders.update(parent_folders(folded))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _only_folder(found: Mapping[str, DroppedFile]) -> str:
    """Return `<folder>/` if it contains every file, else an empty string."""
    tops = {path.partition("/")[0] for path in found}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in path for path in found) else ""


def _refused(archive: DroppedFile, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"The archive {archive.name} is not unpacked: {reason}.")

"""Archives among the scripts: what lies in one at the top of the folder counts as if it had been dropped itself.

An archive in a subfolder, or in another archive, is a file like any other. Where everything in an archive lies in one
folder, as with a repository that was downloaded, that folder is taken off.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from attrs import evolve, frozen

from function_app.domain import naming
from function_app.domain.drop import Drop, Unpacked
from function_app.domain.receipt import DroppedFile
from function_app.drops import archive_reader
from function_app.drops.archive_reader import LARGEST, ArchiveRefused, is_archive
from function_app.drops.path_rules import parent_folders
from function_app.errors import BlobNotFound
from function_app.ports.storage import Blobs
from function_app.store.snapshots import SourceChanged

HOW_TO_FIX = "Drop an archive that holds plain files alone, or drop its files as they are."


@frozen
class ScriptArchives:
    """Reads the archives among the scripts of drops."""

    blobs: Blobs

    def expand(self, drop: Drop) -> Drop:
        """Return the drop with what its archives hold, or with the reason why one is refused.

        Raises:
            SourceChanged: where one is no longer what was listed.
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

    def unpack(self, drop: Drop, drop_id: str) -> None:
        """Write what the drop's archives hold into its snapshot; what is there already is left.

        Raises:
            SourceChanged: as `opened`.
        """
        if not drop.unpacked:
            return
        prefix = f"{naming.snapshot_prefix(drop.experiment, drop_id)}scripts/"
        there = {item.name: item.md5 for item in self.blobs.list(naming.SNAPSHOTS, prefix).items}
        for one in drop.unpacked:
            if any(there.get(f"{prefix}{file.name}") != file.md5 for file in one.files):
                for file, content in self.files(drop, one):
                    if there.get(f"{prefix}{file.name}") != file.md5:
                        self.blobs.replace(naming.SNAPSHOTS, f"{prefix}{file.name}", content)

    def files(self, drop: Drop, unpacked: Unpacked) -> Iterator[tuple[DroppedFile, bytes]]:
        """Yield each file of an archive, job.yaml included, with its content, one at a time."""
        wanted = {file.name: file for file in unpacked.files}
        for path, content in archive_reader.iter_files(unpacked.archive.name, self._read(drop, unpacked.archive)):
            yield wanted[path.removeprefix(unpacked.folder)], content

    def read(self, drop: Drop, name: str) -> bytes | None:
        """Return the content of the file of this name in one of the drop's archives, or None where there is none."""
        for unpacked in drop.unpacked:
            if any(file.name == name for file in unpacked.files):
                return next(content for file, content in self.files(drop, unpacked) if file.name == name)
        return None

    def _look(self, drop: Drop, archive: DroppedFile) -> Unpacked:
        found = {}
        for path, content in archive_reader.iter_files(archive.name, self._read(drop, archive)):
            if path in found:
                raise _refused(archive, f"it holds {path!r} twice")
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
    """Return whether a script is an archive that is unpacked."""
    return "/" not in name and is_archive(name)


def _check_sizes(archives: Iterable[DroppedFile]) -> None:
    """Refuse before anything is read."""
    total = 0
    for archive in archives:
        total += archive.size
        if total > LARGEST:
            raise _refused(archive, f"the archives of a drop have at most {LARGEST} bytes together")


def _check_places(drop: Drop, archives: Iterable[Unpacked]) -> None:
    """Refuse a file that takes the place of another, also where only a system that ignores case sees it so."""
    loose = [*drop.scripts, *([drop.job_yaml] if drop.job_yaml else [])]
    taken = {_folded(file.name): file.name for file in loose if not is_top_archive(file.name)}
    folders = {folder for name in taken for folder in parent_folders(name)}
    for one in archives:
        for file in one.files:
            folded = _folded(file.name)
            if folded in taken:
                raise _refused(one.archive, f"{file.name!r} takes the place of {taken[folded]!r}")
            if folded in folders or (clash := next((up for up in parent_folders(folded) if up in taken), None)):
                other = taken[clash] if folded not in folders and clash else file.name
                raise _refused(one.archive, f"{file.name!r} makes {other!r} a file and a folder")
            taken[folded] = file.name
            folders.update(parent_folders(folded))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _only_folder(found: Mapping[str, DroppedFile]) -> str:
    """Return `<folder>/` where everything lies in one, else nothing."""
    tops = {path.partition("/")[0] for path in found}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in path for path in found) else ""


def _refused(archive: DroppedFile, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"The archive {archive.name} is not unpacked: {reason}.")

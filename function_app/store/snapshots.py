"""Snapshots: copies of a drop's scripts and a manifest of all its files, so that a job runs what its receipt says."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence

from attrs import frozen

from function_app.domain import naming
from function_app.domain.attempt import AttemptOptions
from function_app.domain.contents import FILES_LISTED, DropContents, DroppedFile, MissingFiles
from function_app.domain.document import Document
from function_app.domain.drop import Drop, Manifest
from function_app.domain.drop_ref import DropRef
from function_app.domain.receipt import Receipt
from function_app.errors import BlobNotFound, Conflict, PreconditionFailed, Transient, Unreadable
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec, stored_spec
from function_app.ports.storage import BlobItem, Blobs, Copied, CopyStatus, ensure_copied

MANIFEST = "manifest.json"
SPEC = "job.json"


class _Entry(Document):
    """A manifest without its files, of which there may be 100,000."""

    entry_script: str | None


class UnreadableSnapshot(Unreadable):
    """A document of a snapshot is missing or invalid."""


class SourceChanged(Conflict):
    """A script was overwritten between the listing and its copy. The new version has raised its own event."""

    code = "changed-meanwhile"
    title = "Files changed during the request."
    wait = 10


class CopyPending(Transient):
    """Storage is still copying the scripts: try again in a few seconds."""

    code = "copy-under-way"
    title = "Files are being copied."
    wait = 5


@frozen
class Snapshots:
    """Reads and writes snapshots. Each step may be repeated: a drop's id determines its content."""

    blobs: Blobs

    def write_manifest(
        self, drop: Drop, ref: DropRef, *, entry_script: str | None, ignored: Sequence[str]
    ) -> DropContents:
        """Write the manifest; return its summary for the receipt."""
        data = drop.manifest(ref, entry_script, ignored=ignored).to_bytes()
        name = f"{naming.snapshot_prefix(ref)}{MANIFEST}"
        # The same content may come again with later ETags; a job checks those of the latest upload.
        self.blobs.replace(naming.SNAPSHOTS, name, data)
        files = [*drop.scripts, *drop.data]
        return DropContents(
            scripts=len(drop.scripts),
            data=len(drop.data),
            size=sum(file.size for file in files),
            manifest=f"{naming.SNAPSHOTS}/{name}",
            scripts_sha256=_digest(drop.scripts),
            data_sha256=_digest(drop.data),
            script_files=tuple(drop.scripts[:FILES_LISTED]),
            data_files=tuple(drop.data[:FILES_LISTED]),
            job_yaml=drop.job_yaml,
            counted_by_etag=sum(file.md5 is None for file in files),
            archives=tuple(one.contents for one in drop.unpacked),
        )

    def save_spec(self, ref: DropRef, spec: JobSpec) -> None:
        """Store the job spec, so that a retry runs the same."""
        name = f"{naming.snapshot_prefix(ref)}{SPEC}"
        data = spec.to_json().encode()
        try:
            self.blobs.create(naming.SNAPSHOTS, name, data)
        except PreconditionFailed:  # it exists and is equal: the id is derived from it
            try:
                self.spec(ref)
            except UnreadableSnapshot:
                self.blobs.replace(naming.SNAPSHOTS, name, data)

    def spec(self, ref: DropRef) -> JobSpec:
        """Return the job spec of a drop.

        Raises:
            UnreadableSnapshot: it is missing or invalid. Try again, since storage may miss a blob once.
        """
        name = f"{naming.snapshot_prefix(ref)}{SPEC}"
        with _readable(name):
            return stored_spec(json.loads(self.blobs.read(naming.SNAPSHOTS, name).data))

    def options(self, receipt: Receipt) -> AttemptOptions:
        """Return the options of the receipt's last attempt; earlier releases kept them only in the job spec.

        Raises:
            UnreadableSnapshot: as for `spec`.
        """
        attempt = receipt.attempt
        if attempt is not None and attempt.options is not None:
            return attempt.options
        return self.spec(receipt.ref).kedja.attempt_options

    def manifest(self, ref: DropRef) -> Manifest:
        """Return the manifest of a drop.

        Raises:
            UnreadableSnapshot: as for `spec`.
        """
        name = f"{naming.snapshot_prefix(ref)}{MANIFEST}"
        with _readable(name):
            return Manifest.from_bytes(self.blobs.read(naming.SNAPSHOTS, name).data)

    def missing_files(self, before: DropRef, drop: Drop) -> MissingFiles | None:
        """Return the files of the previous drop that no longer exist; None if all exist, or its manifest is unreadable.

        A file that is being uploaded again counts as existing.
        """
        try:
            manifest = self.manifest(before)
        except UnreadableSnapshot:
            return None
        there = {
            *(f"{naming.SCRIPTS}/{file.name}" for file in drop.scripts),
            *(f"{naming.DATA}/{file.name}" for file in drop.data),
            *drop.uploading,
        }
        known = [f"{naming.SCRIPTS}/{file.name}" for file in manifest.scripts]
        known += [f"{naming.DATA}/{file.name}" for file in manifest.data]
        gone = sorted(name for name in known if name not in there)
        return MissingFiles(count=len(gone), files=tuple(gone[:FILES_LISTED])) if gone else None

    def entry_script(self, ref: DropRef) -> str | None:
        """Return the script that the drop's job runs, or None if it runs a command or the built-in trainer.

        Raises:
            UnreadableSnapshot: as for `spec`.
        """
        name = f"{naming.snapshot_prefix(ref)}{MANIFEST}"
        with _readable(name):
            return _Entry.from_bytes(self.blobs.read(naming.SNAPSHOTS, name).data).entry_script

    def copy_scripts(self, drop: Drop, ref: DropRef) -> None:
        """Copy the scripts server-side, each in the version that was listed.

        Raises:
            SourceChanged: a script has changed since it was listed.
            CopyPending: storage has not finished yet.
        """
        prefix = f"{naming.snapshot_prefix(ref)}scripts/"
        there = {item.name: item for item in self.blobs.list(naming.SNAPSHOTS, prefix).items}
        pending = False
        archives = {one.archive.name for one in drop.unpacked}  # `ScriptArchives` unpacks these
        loose = [file for file in drop.scripts if file.name not in archives]
        for file in [*loose, *([drop.job_yaml] if drop.job_yaml else [])]:
            target = f"{prefix}{file.name}"
            pending |= self._copy(drop, file, target, there.get(target)) is CopyStatus.PENDING
        if pending:
            raise CopyPending(f"The scripts of {drop.folder} are still being copied.")

    def _copy(self, drop: Drop, file: DroppedFile, target: str, there: BlobItem | None) -> CopyStatus:
        source, known = (naming.SCRIPTS, f"{drop.folder}/{file.name}"), Copied.of(there) if there else None
        try:
            return ensure_copied(self.blobs, source, (naming.SNAPSHOTS, target), etag=file.etag, there=known)
        except (BlobNotFound, PreconditionFailed) as error:
            raise SourceChanged(f"{'/'.join(source)} changed while its drop was being read.") from error


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except BlobNotFound as error:
        raise UnreadableSnapshot(f"There is no {naming.SNAPSHOTS}/{name}.") from error
    except (ValueError, RecursionError, InvalidJobSpec) as error:
        what = f"{naming.SNAPSHOTS}/{name}"
        raise UnreadableSnapshot(f"{what} cannot be read: its content is invalid.") from error


def _digest(files: Sequence[DroppedFile]) -> str:
    digest = hashlib.sha256()
    for name, size, content in sorted(file.identity() for file in files):
        digest.update(f"{name}\0{size}\0{content}\n".encode())
    return digest.hexdigest()

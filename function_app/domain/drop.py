"""A drop: the files in an experiment's folders at one moment."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Self

from attrs import define, evolve, field, frozen

from function_app.domain import naming
from function_app.domain.contents import ArchiveContents, DroppedFile
from function_app.domain.document import Document
from function_app.domain.drop_ref import DropRef
from function_app.ports.storage import BlobItem, Blobs, CopyStatus, iter_pages

UPLOAD_LIFETIME = timedelta(hours=24)
"""An upload that has not ended after this time counts as abandoned."""

_MARKERS = ("hdi_isfolder",)


class Manifest(Document):
    """`manifest.json` of a snapshot: every file of a drop, so that the job can check what it trains on."""

    version: int = 1
    experiment: str
    drop: str
    scripts: tuple[DroppedFile, ...]
    data: tuple[DroppedFile, ...]
    entry_script: str | None
    ignored: tuple[str, ...]
    archives: tuple[ArchiveContents, ...] = ()
    """The archives that some of the scripts were unpacked from."""

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON, with null for missing values: a job reads every key."""
        return self.model_dump_json(indent=2).encode()


@frozen(kw_only=True)
class Unpacked:
    """The files of an archive among the scripts, by the names that the job sees, without the archive's `folder`."""

    archive: DroppedFile
    folder: str
    files: Sequence[DroppedFile]

    @property
    def contents(self) -> ArchiveContents:
        """The archive's summary for receipts and manifests."""
        size = sum(file.size for file in self.files)
        return ArchiveContents(name=self.archive.name, files=len(self.files), size=size, folder=self.folder or None)


@frozen(kw_only=True)
class Drop:
    """The files under `data/<folder>/` and `scripts/<folder>/`, by names relative to these folders.

    `now` is the storage's clock at the listing, `newest` when the last of the files was written.
    """

    experiment: str
    folder: str
    scripts: Sequence[DroppedFile]
    data: Sequence[DroppedFile]
    job_yaml: DroppedFile | None
    now: datetime
    newest: datetime | None
    uploading: Sequence[str]
    newest_names: Collection[str]
    """Names of the newest files."""
    unpacked: Sequence[Unpacked] = ()
    """The archives among the scripts, once `drops.archives` has unpacked them."""
    refusal: tuple[str, str] | None = None
    """Why an archive is refused, and what to do."""

    @classmethod
    def list_drop(cls, blobs: Blobs, folder: str) -> Self:
        """List the folder in both containers."""
        scripts, data = (FolderListing.at(blobs, container, folder) for container in (naming.SCRIPTS, naming.DATA))
        now, newest = min(scripts.now, data.now), _later(scripts.newest, data.newest)
        return cls(
            experiment=naming.slug(folder),
            folder=folder,
            scripts=[file for file in scripts.files if file.name != naming.JOB_YAML],
            data=data.files,
            job_yaml=next((file for file in scripts.files if file.name == naming.JOB_YAML), None),
            now=now,
            newest=newest,
            uploading=[
                f"{look.container}/{name}"
                for look in (scripts, data)
                for name, began in look.uploading
                if now - began < UPLOAD_LIFETIME
            ],
            newest_names=frozenset(name for look in (scripts, data) if look.newest == newest for name in look.last),
        )

    @classmethod
    def of_root_file(cls, name: str, found: Iterable[tuple[str, BlobItem]], *, now: datetime) -> Self:
        """Return the drop of a file outside any folder, which is to be rejected."""
        files = dict(found)
        return cls(
            experiment=naming.ROOT_EXPERIMENT,
            folder=name,
            scripts=[_file(name, files[naming.SCRIPTS])] if naming.SCRIPTS in files else [],
            data=[_file(name, files[naming.DATA])] if naming.DATA in files else [],
            job_yaml=None,
            now=now,
            newest=max((item.modified for item in files.values()), default=None),
            uploading=[],
            newest_names=(),
        )

    @property
    def job_scripts(self) -> Sequence[DroppedFile]:
        """The scripts that the job sees: those dropped as files, and those unpacked."""
        if not self.unpacked:
            return self.scripts
        archives = {one.archive.name for one in self.unpacked}
        loose = (file for file in self.scripts if file.name not in archives)
        members = (file for one in self.unpacked for file in one.files if file.name != naming.JOB_YAML)
        return sorted((*loose, *members), key=lambda file: file.name)

    @property
    def is_empty(self) -> bool:
        """Whether there are no files."""
        return not (self.scripts or self.data or self.job_yaml)

    def seconds_until_quiet(self, quiet_period: float) -> float:
        """Return how long to wait before the folder counts as complete; 0 if it does now."""
        if self.uploading:
            return max(1.0, quiet_period)
        if self.newest is None:
            return 0.0
        return max(0.0, quiet_period - (self.now - self.newest).total_seconds())

    def without_data(self) -> Self:
        """Return the drop of a script that needs no data."""
        return self._with(data=())

    def without(self, name: str) -> Self:
        """Return the drop without its marker file, which only says that the others are complete."""
        return self._with(
            data=[file for file in self.data if file.name != name],
            scripts=[file for file in self.scripts if file.name != name],
        )

    def _with(self, *, data: Sequence[DroppedFile], scripts: Sequence[DroppedFile] | None = None) -> Self:
        return evolve(self, data=data, scripts=self.scripts if scripts is None else scripts)

    def is_completed_by(self, name: str) -> bool:
        """Return whether there is a file of this name that is at least as new as all others."""
        return name in self.newest_names

    def ref(self, spec: str) -> DropRef:
        """Return what the drop is known by, given the canonical job spec."""
        scripts, data = (file.identity() for file in self.scripts), (file.identity() for file in self.data)
        return DropRef(self.experiment, naming.drop_id(scripts, data, spec))

    def manifest(self, ref: DropRef, entry_script: str | None, *, ignored: Iterable[str] = ()) -> Manifest:
        """Return the manifest of the drop's snapshot."""
        return Manifest(
            experiment=ref.experiment,
            drop=ref.drop,
            scripts=tuple(self.job_scripts),
            data=tuple(self.data),
            entry_script=entry_script,
            ignored=(*naming.IGNORED, *ignored),
            archives=tuple(one.contents for one in self.unpacked),
        )


def newest_upload(blobs: Blobs, container: str, folder: str) -> datetime | None:
    """Return when the newest file of a folder was written, or None if it has no files. It keeps no file in memory."""
    newest: datetime | None = None
    for page in iter_pages(blobs, container, f"{folder}/"):
        for _, item in _kept(page.items, folder):
            if not _uploading(item):
                newest = _later(newest, item.modified)
    return newest


@define(kw_only=True)
class FolderListing:
    """The files in a folder of one container. A folder may have 100,000 files, so each is kept only once."""

    container: str
    now: datetime
    files: list[DroppedFile] = field(factory=list)
    uploading: list[tuple[str, datetime]] = field(factory=list)
    newest: datetime | None = None
    last: list[str] = field(factory=list)

    @classmethod
    def at(cls, blobs: Blobs, container: str, folder: str) -> Self:
        """List a folder."""
        pages = iter_pages(blobs, container, f"{folder}/", uncommitted=True)
        first = next(pages)
        look = cls(container=container, now=first.now)
        for page in itertools.chain((first,), pages):
            for name, item in _kept(page.items, folder):
                look.add(name, item)
        return look

    def add(self, name: str, item: BlobItem) -> None:
        """Add a file by its name relative to the folder."""
        if _uploading(item):
            self.uploading.append((name, item.modified))
            return
        self.files.append(_file(name, item))
        if self.newest is None or item.modified > self.newest:
            self.newest, self.last = item.modified, []
        if item.modified == self.newest:
            self.last.append(name)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(filter(None, (one, other)), default=None)


def _kept(items: Iterable[BlobItem], folder: str) -> Iterator[tuple[str, BlobItem]]:
    for item in items:
        name = item.name.removeprefix(f"{folder}/")
        if not naming.is_ignored(name) and not any(marker in item.metadata for marker in _MARKERS):
            yield name, item


def _uploading(item: BlobItem) -> bool:
    return not item.committed or item.copy is CopyStatus.PENDING


def _file(name: str, item: BlobItem) -> DroppedFile:
    return DroppedFile(name=name, size=item.size, etag=item.etag, md5=item.md5)

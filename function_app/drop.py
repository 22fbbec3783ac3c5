"""A drop: what lies in an experiment's folders at one moment."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Self

from attrs import evolve, frozen

from function_app import names
from function_app.documents import Document
from function_app.receipt import DroppedFile
from function_app.storage import BlobItem, Blobs, CopyStatus, Listing

UPLOAD_LIFETIME = timedelta(hours=24)
"""An upload without an end is taken for abandoned after this time."""

_MARKERS = ("hdi_isfolder",)


class Manifest(Document):
    """`manifest.json` of a snapshot: every file of a drop, for the job to check what it trains on."""

    version: int = 1
    experiment: str
    drop: str
    scripts: tuple[DroppedFile, ...]
    data: tuple[DroppedFile, ...]
    entry_script: str | None
    ignored: tuple[str, ...]

    def encoded(self) -> bytes:
        """Return the manifest as JSON, with null for what there is not: a job reads every key."""
        return self.model_dump_json(indent=2).encode()


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
    written: dict[str, datetime]
    """When each file was written, by `data/<name>` and `scripts/<name>`."""

    @classmethod
    def take(cls, blobs: Blobs, folder: str) -> Self:
        """List the folder in both containers."""
        listings = {
            container: blobs.list(container, f"{folder}/", uncommitted=True)
            for container in (names.SCRIPTS, names.DATA)
        }
        now = min(listing.now for listing in listings.values())
        kept = {container: list(_kept(listing, folder)) for container, listing in listings.items()}
        complete = {container: [(n, i) for n, i in files if not _uploading(i)] for container, files in kept.items()}
        files = {container: [_file(name, item) for name, item in done] for container, done in complete.items()}
        written = {f"{container}/{n}": item.modified for container, done in complete.items() for n, item in done}
        return cls(
            experiment=names.slug(folder),
            folder=folder,
            scripts=[file for file in files[names.SCRIPTS] if file.name != names.JOB_YAML],
            data=files[names.DATA],
            job_yaml=next((file for file in files[names.SCRIPTS] if file.name == names.JOB_YAML), None),
            now=now,
            newest=max(written.values(), default=None),
            uploading=[
                f"{container}/{name}"
                for container, several in kept.items()
                for name, item in several
                if _uploading(item) and now - item.modified < UPLOAD_LIFETIME
            ],
            written=written,
        )

    @classmethod
    def of_outsiders(cls, name: str, found: Iterable[tuple[str, BlobItem]], *, now: datetime) -> Self:
        """Return the drop that a file outside of any folder makes, for its refusal."""
        files = dict(found)
        return cls(
            experiment=names.ROOT_EXPERIMENT,
            folder=name,
            scripts=[_file(name, files[names.SCRIPTS])] if names.SCRIPTS in files else [],
            data=[_file(name, files[names.DATA])] if names.DATA in files else [],
            job_yaml=None,
            now=now,
            newest=max((item.modified for item in files.values()), default=None),
            uploading=[],
            written={},
        )

    @property
    def is_empty(self) -> bool:
        return not (self.scripts or self.data or self.job_yaml)

    def seconds_until_quiet(self, quiet_period: float) -> float:
        """Return how long to wait before the folder may be taken for complete; 0 where it may now."""
        if self.uploading:
            return max(1.0, quiet_period)
        if self.newest is None:
            return 0.0
        return max(0.0, quiet_period - (self.now - self.newest).total_seconds())

    def without_data(self) -> Self:
        """Return the drop of a script that needs no data."""
        return self._with(data=())

    def without(self, name: str) -> Self:
        """Return the drop without a file that only says that the others are complete."""
        return self._with(
            data=[file for file in self.data if file.name != name],
            scripts=[file for file in self.scripts if file.name != name],
        )

    def _with(self, *, data: Sequence[DroppedFile], scripts: Sequence[DroppedFile] | None = None) -> Self:
        return evolve(self, data=data, scripts=self.scripts if scripts is None else scripts)

    def is_announced_by(self, name: str) -> bool:
        """Return whether a file of this name is there and not older than any other, so that it speaks for them."""
        times = [
            self.written[key] for key in (f"{names.DATA}/{name}", f"{names.SCRIPTS}/{name}") if key in self.written
        ]
        return bool(times) and (self.newest is None or max(times) >= self.newest)

    def id(self, spec: str) -> str:
        """Return the drop's id, given the canonical job spec."""
        return names.drop_id((file.identity() for file in self.scripts), (file.identity() for file in self.data), spec)

    def manifest(self, drop: str, entry_script: str | None, *, ignored: Iterable[str] = ()) -> Manifest:
        return Manifest(
            experiment=self.experiment,
            drop=drop,
            scripts=tuple(self.scripts),
            data=tuple(self.data),
            entry_script=entry_script,
            ignored=(*names.IGNORED, *ignored),
        )


def _kept(listing: Listing, folder: str) -> Iterable[tuple[str, BlobItem]]:
    for item in listing.items:
        name = item.name.removeprefix(f"{folder}/")
        if not names.is_ignored(name) and not any(marker in item.metadata for marker in _MARKERS):
            yield name, item


def _uploading(item: BlobItem) -> bool:
    return not item.committed or item.copy is CopyStatus.PENDING


def _file(name: str, item: BlobItem) -> DroppedFile:
    return DroppedFile(name=name, size=item.size, etag=item.etag, md5=item.md5)

"""What a drop consists of: its files, and what a receipt says of them."""

from dataclasses import dataclass

from function_app.domain.document import Document

FILES_LISTED = 100
"""Max files of each kind that a receipt names; the snapshot's manifest names all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedFile:
    """A file of a drop. `size` is in bytes, `md5` in Base64; without an MD5 its ETag stands for its content.

    Not a `Document`: a drop may have 100,000 of these, and a model's instance takes five times as much memory.
    """

    name: str
    size: int
    etag: str
    md5: str | None = None

    def identity(self) -> tuple[str, int, str]:
        """Return what the drop's id is derived from: name, size, and MD5 or ETag."""
        return self.name, self.size, self.md5 or self.etag


class ArchiveContents(Document):
    """An unpacked archive among the scripts: number of files, their size in bytes, and the folder that was removed."""

    name: str
    files: int
    size: int
    folder: str | None = None


class MissingFiles(Document):
    """Files of the previous drop that no longer exist: `<container>/<name>` of the first hundred."""

    count: int
    files: tuple[str, ...]


class DropContents(Document):
    """The contents of a drop: counts, total size in bytes, and its first hundred files."""

    scripts: int
    data: int
    size: int
    manifest: str
    scripts_sha256: str
    data_sha256: str
    """Hashes over each file's name, size and content hash: the lineage of the model."""
    script_files: tuple[DroppedFile, ...] = ()
    data_files: tuple[DroppedFile, ...] = ()
    job_yaml: DroppedFile | None = None
    """The `job.yaml` among the scripts, which is in neither count: the drop's id includes what it says."""
    counted_by_etag: int = 0
    """Number of files without Content-MD5: writing them again, even unchanged, makes another drop."""
    archives: tuple[ArchiveContents, ...] = ()
    """Unpacked archives among the scripts."""
    gone: MissingFiles | None = None
    code_sha256: str | None = None
    """Hash over the drop's code, if approval is required: an approval names this hash."""

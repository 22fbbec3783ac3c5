"""Storage in which a job has left very many files: they are made up as they are listed, and copies are counted."""

import json
from collections.abc import Callable, Iterator, Mapping

from attrs import define, field

from function_app.domain import naming
from function_app.ports.storage import SOURCE_ETAG, Blob, BlobItem, CopyStatus, Page
from tests.unit.memory import MemoryBlobs

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def paths(count: int) -> Iterator[str]:
    """Yield the names of so many files in the order of a listing, the model first."""
    yield "model.npz"
    for number in range(count - 1):
        yield f"samples/image-{number:07}.png"


def result(count: int) -> bytes:
    """Return the result of a job that made so many files."""
    files = [{"path": path, "size": 7, "sha256": SHA256} for path in paths(count)]
    document = {"version": 1, "result": "completed", "exit_code": 0, "metrics": {"accuracy": 0.9}, "files": files}
    return json.dumps(document, indent=2).encode()


@define
class ManyFiles(MemoryBlobs):
    """The outputs of jobs are so many files of seven bytes. `on_page` is called for each part of a listing of them."""

    count: int = 0
    document: bytes = b""
    copied: int = 0
    on_page: Callable[[], None] = field(default=lambda: None)

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        are_copies = container == naming.MODELS and prefix.count("/") > 1
        if not are_copies and not (container == "azureml" and prefix.endswith("/outputs/")):
            return super().page(container, prefix, size=size, token=token, uncommitted=uncommitted)
        self.on_page()
        begin, total = int(token or 0), self.copied if are_copies else self.count
        end = min(begin + size, total)
        items = [self._item(prefix, number, copy=are_copies) for number in range(begin, end)]
        return Page(items=items, token=str(end) if end < total else None, now=self.now)

    def _item(self, prefix: str, number: int, *, copy: bool) -> BlobItem:
        path = f"samples/image-{number - 1:07}.png" if number else "model.npz"
        return BlobItem(
            name=f"{prefix}{path}",
            size=7,
            etag=f"0x8DE{number:012X}",
            modified=self.now,
            metadata={SOURCE_ETAG: f"0x8DE{number:012X}"} if copy else {},
            copy=CopyStatus.SUCCESS if copy else CopyStatus.NONE,
        )

    def read(self, container: str, name: str, *, limit: int | None = None) -> Blob:
        if name.endswith("/outputs/.kedja-manifest.json"):
            return Blob(data=self.document[:limit], etag="0x1", modified=self.now, now=self.now)
        return super().read(container, name, limit=limit)

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        if source[0] != "azureml":
            return super().copy(source, target, etag=etag, metadata=metadata)
        with self.lock:
            self.copied += 1
        return CopyStatus.SUCCESS

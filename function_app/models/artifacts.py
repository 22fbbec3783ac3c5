"""Artifacts: copying a job's files to where consumers read them. Storage copies them; no byte passes through here."""

import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Self

from attrs import frozen

from function_app.domain import naming
from function_app.domain.document import Document
from function_app.domain.receipt import Artifact
from function_app.models.job_result import MANIFEST as RESULT
from function_app.models.job_result import JobResult
from function_app.ports.storage import BlobItem, Blobs, Copied, CopyStatus, ensure_copied, iter_pages, read_if_there
from function_app.ports.training_service import BlobFolder

MODEL_MANIFEST = "manifest.json"
COPIES_AT_ONCE = 16
_LISTED_AT_ONCE = 500
"""Files to list before a lease is renewed."""
_STEPS_ASIDE = re.compile(rf"(outputs/)*{re.escape(MODEL_MANIFEST)}")


class ModelManifest(Document):
    """`manifest.json`, written last: every file that it lists exists and is complete."""

    version: int = 1
    model: str
    model_version: str
    job: str
    receipt: str
    path: str
    metrics: Mapping[str, float]
    metrics_total: int | None = None
    """How many metrics the job had, if not all of them are here."""
    lineage: Mapping[str, str]
    files: tuple[Artifact, ...]

    def to_bytes(self) -> bytes:
        """Return the manifest as JSON, with a line for each file, of which there may be 200,000."""
        head, end = self.model_copy(update={"files": ()}).model_dump_json(indent=2, exclude_none=True), "]\n}"
        if not self.files:
            return head.encode()
        text = io.BytesIO()
        text.write(head.removesuffix(end).encode())
        for number, file in enumerate(self.files):
            known = {"path": file.path, "size": file.size, **({"sha256": file.sha256} if file.sha256 else {})}
            text.write(f"{',' if number else ''}\n    {json.dumps(known, ensure_ascii=False)}".encode())
        text.write(f"\n  {end}".encode())
        return text.getvalue()

    @classmethod
    def read(cls, blobs: Blobs, model: str, version: str) -> Self | None:
        """Return what a version consists of, or None if it does not exist or is not completely copied yet."""
        blob = read_if_there(blobs, naming.MODELS, cls.blob(model, version))
        return cls.from_bytes(blob.data) if blob else None

    @staticmethod
    def blob(model: str, version: str) -> str:
        """Return the name of a version's manifest."""
        return f"{naming.model_prefix(model, version)}{MODEL_MANIFEST}"


@frozen(kw_only=True)
class CopyProgress:
    """The progress of copying: `copied` of `total` files."""

    copied: int
    total: int

    @property
    def done(self) -> bool:
        """Whether every file is copied."""
        return self.copied == self.total


def target_name(path: str) -> str:
    """Return the path below the model version's folder for a file of the job's outputs.

    A file with the manifest's own name is moved to `outputs/`, as is a file whose path that would take.
    """
    return f"outputs/{path}" if _STEPS_ASIDE.fullmatch(path) else path


@frozen(kw_only=True)
class Artifacts:
    """Copies artifacts within the storage account. One call starts copies for `max_runtime` seconds."""

    blobs: Blobs
    max_runtime: float
    clock: Callable[[], float] = time.monotonic

    def not_uploaded(self, outputs: BlobFolder, result: JobResult, *, keep_alive: Callable[[], None]) -> list[str]:
        """Return the files of the job's result that are missing or incomplete in storage.

        `keep_alive` is called before each further page of a listing, here and in the other methods.
        """
        missing = {path: file.size for path, file in result.files.items()}
        for item in self._made(outputs, keep_alive):
            path = item.name.removeprefix(outputs.prefix)
            if missing.get(path) == item.size:
                del missing[path]
        return list(missing)

    def copy(self, outputs: BlobFolder, target: str, *, keep_alive: Callable[[], None]) -> CopyProgress:
        """Start the copies that are not started, and return the progress. Call it again until it is done.

        A copy counts if it succeeded and was made from the present version of its source.
        """
        there = self._copies(target, keep_alive)
        copied = total = 0
        until = self.clock() + self.max_runtime
        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            for batch in batched(self._made(outputs, keep_alive), COPIES_AT_ONCE, strict=False):
                keep_alive()
                total += len(batch)
                if self.clock() < until:
                    copied += sum(pool.map(lambda item: self._copied(item, outputs, target, there), batch))
        return CopyProgress(copied=copied, total=total)

    def _copied(self, item: BlobItem, outputs: BlobFolder, folder: str, there: Mapping[str, Copied]) -> bool:
        path = target_name(item.name.removeprefix(outputs.prefix))
        source, target = (outputs.container, item.name), (naming.MODELS, f"{folder}{path}")
        return ensure_copied(self.blobs, source, target, etag=item.etag, there=there.get(path)) is CopyStatus.SUCCESS

    def verify_copies(
        self, outputs: BlobFolder, target: str, result: JobResult, *, keep_alive: Callable[[], None]
    ) -> list[Artifact]:
        """Return the copied files, checked by size and by their source's ETag; return none if a check fails."""
        there = self._copies(target, keep_alive)
        artifacts = []
        for item in self._made(outputs, keep_alive):
            path = item.name.removeprefix(outputs.prefix)
            copy = there.pop(target_name(path), None)
            if copy is None or copy.size != item.size or copy.source_etag != item.etag:
                return []
            file = result.files.get(path)
            artifacts.append(
                Artifact(path=target_name(path), size=item.size, sha256=file.sha256 if file is not None else None)
            )
        return artifacts

    def _copies(self, target: str, keep_alive: Callable[[], None]) -> dict[str, Copied]:
        """Return the files in a version's folder, by names relative to it."""
        found = self._listed(naming.MODELS, target, keep_alive)
        return {item.name.removeprefix(target): Copied.of(item) for item in found}

    def _made(self, outputs: BlobFolder, keep_alive: Callable[[], None]) -> Iterator[BlobItem]:
        for item in self._listed(outputs.container, outputs.prefix, keep_alive):
            if item.name != f"{outputs.prefix}{RESULT}" and not item.name.endswith("/"):
                yield item

    def _listed(self, container: str, prefix: str, keep_alive: Callable[[], None]) -> Iterator[BlobItem]:
        for number, page in enumerate(iter_pages(self.blobs, container, prefix, size=_LISTED_AT_ONCE)):
            if number:
                keep_alive()
            yield from page.items

"""Artifacts: the files that a job made, on their way to where consumers look. No byte of them passes through here."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import batched
from typing import Self

from attrs import frozen

from function_app import names
from function_app.documents import Document
from function_app.errors import BlobNotFound
from function_app.job_result import MANIFEST as RESULT
from function_app.job_result import JobResult
from function_app.receipt import Artifact
from function_app.storage import SOURCE_ETAG, BlobItem, Blobs, CopyStatus, copy_once, pages
from function_app.training_service import BlobFolder

MODEL_MANIFEST = "manifest.json"
COPIES_AT_ONCE = 16
_STEPS_ASIDE = re.compile(rf"(outputs/)*{re.escape(MODEL_MANIFEST)}")


class ModelManifest(Document):
    """`manifest.json`, written last: what is listed here is there, whole."""

    version: int = 1
    model: str
    model_version: str
    job: str
    receipt: str
    path: str
    metrics: Mapping[str, float]
    lineage: Mapping[str, str]
    files: tuple[Artifact, ...]

    @classmethod
    def read(cls, blobs: Blobs, model: str, version: str) -> Self | None:
        """Return what a version consists of, or None where there is none, or not all of it is copied yet."""
        try:
            return cls.decoded(blobs.read(names.MODELS, cls.blob(model, version)).data)
        except BlobNotFound:
            return None

    @staticmethod
    def blob(model: str, version: str) -> str:
        """Return the name of a version's manifest."""
        return f"{names.model_prefix(model, version)}{MODEL_MANIFEST}"


@frozen(kw_only=True)
class Progress:
    """How far copying is: `copied` of `total` files."""

    copied: int
    total: int

    @property
    def done(self) -> bool:
        return self.copied == self.total


def target_name(path: str) -> str:
    """Return where a file of the job's outputs goes below the model version's folder.

    A file of the job's with the manifest's own name steps aside, and so does one that stands where that one goes.
    """
    return f"outputs/{path}" if _STEPS_ASIDE.fullmatch(path) else path


@frozen(kw_only=True)
class Artifacts:
    """Copies artifacts within the storage account. One call starts copies for `max_runtime` seconds."""

    blobs: Blobs
    max_runtime: float
    clock: Callable[[], float] = time.monotonic

    def missing(self, outputs: BlobFolder, result: JobResult) -> list[str]:
        """Return which of the files that the job says it made are not (wholly) in storage yet."""
        there = {item.name.removeprefix(outputs.prefix): item.size for item in self._made(outputs)}
        return [file.path for file in result.files if there.get(file.path) != file.size]

    def copy(self, outputs: BlobFolder, target: str, *, keep_alive: Callable[[], None]) -> Progress:
        """Start what is not started, and return how far everything is. Call it again until it is done.

        A copy counts when it has ended well and was made of the source as it is now.
        """
        there = {item.name: item for page in pages(self.blobs, names.MODELS, target) for item in page}
        copied = total = 0
        until = self.clock() + self.max_runtime
        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            for batch in batched(self._made(outputs), COPIES_AT_ONCE, strict=False):
                keep_alive()
                total += len(batch)
                if self.clock() < until:
                    copied += sum(pool.map(lambda item: self._copied(item, outputs, target, there), batch))
        return Progress(copied=copied, total=total)

    def _copied(self, item: BlobItem, outputs: BlobFolder, folder: str, there: Mapping[str, BlobItem]) -> bool:
        name = f"{folder}{target_name(item.name.removeprefix(outputs.prefix))}"
        source, target = (outputs.container, item.name), (names.MODELS, name)
        return copy_once(self.blobs, source, target, etag=item.etag, there=there.get(name)) is CopyStatus.SUCCESS

    def verified(self, outputs: BlobFolder, target: str, result: JobResult) -> list[Artifact]:
        """Return what was copied, each file checked by its size and its source's ETag; empty where one is not right."""
        hashes = {file.path: file.sha256 for file in result.files}
        there = {item.name: item for page in pages(self.blobs, names.MODELS, target) for item in page}
        artifacts = []
        for item in self._made(outputs):
            path = item.name.removeprefix(outputs.prefix)
            copy = there.get(f"{target}{target_name(path)}")
            if copy is None or copy.size != item.size or copy.metadata.get(SOURCE_ETAG) != item.etag:
                return []
            artifacts.append(Artifact(path=target_name(path), size=item.size, sha256=hashes.get(path)))
        return artifacts

    def _made(self, outputs: BlobFolder) -> Iterator[BlobItem]:
        for page in pages(self.blobs, outputs.container, outputs.prefix):
            for item in page:
                if item.name != f"{outputs.prefix}{RESULT}" and not item.name.endswith("/"):
                    yield item

"""Downloads: links to the files of a model version, each good for an hour and for reading that one file."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.receipt import Artifact
from function_app.models.artifacts import ModelManifest
from function_app.ports.storage import Blobs, Permission

LIFETIME = timedelta(hours=1)
_AT_ONCE = 16


@frozen(kw_only=True)
class Download:
    """A file of a model version, and where it can be read until `expires`.

    `md5` in Base64: of a file without a SHA-256, where storage has one.
    """

    file: Artifact
    md5: str | None
    url: str
    expires: datetime


@frozen(kw_only=True)
class Downloads:
    """What can be downloaded of the models of an account."""

    blobs: Blobs
    clock: Callable[[], datetime]

    def manifest(self, model: str, version: str) -> ModelManifest | None:
        """Return what a version consists of, or None where there is none, or not all of it is copied yet."""
        return ModelManifest.read(self.blobs, model, version)

    def links(self, manifest: ModelManifest, *, start: int, limit: int) -> Sequence[Download]:
        """Return up to `limit` of the files that a manifest lists, with links. One call for each without a SHA-256."""
        prefix = naming.model_prefix(manifest.model, manifest.model_version)
        expires = self.clock().replace(microsecond=0) + LIFETIME
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            files = manifest.files[start : start + limit]
            return list(pool.map(lambda file: self._link(prefix, file, expires), files))

    def _link(self, prefix: str, file: Artifact, expires: datetime) -> Download:
        name = f"{prefix}{file.path}"
        there = self.blobs.get(naming.MODELS, name) if file.sha256 is None else None
        url = self.blobs.sign(naming.MODELS, name, permission=Permission.READ, expires=expires)
        return Download(file=file, md5=there.md5 if there else None, url=url, expires=expires)

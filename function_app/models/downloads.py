"""Downloads: links to the files of a model version, each valid for an hour and for reading that one file."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain import naming
from function_app.domain.receipt import Artifact
from function_app.models.artifacts import ModelManifest
from function_app.ports.clock import Clock
from function_app.ports.storage import Blobs, Permission

LIFETIME = timedelta(hours=1)
_AT_ONCE = 16


@frozen(kw_only=True)
class Download:
    """A file of a model version, with a link that is valid until `expires`.

    `md5` is in Base64, for a file without a SHA-256, if storage has one.
    """

    file: Artifact
    md5: str | None
    url: str
    expires: datetime


@frozen(kw_only=True)
class Downloads:
    """Links to the files of an account's models."""

    blobs: Blobs
    clock: Clock

    def manifest(self, model: str, version: str) -> ModelManifest | None:
        """Return what a version consists of, or None if it does not exist or is not completely copied yet."""
        return ModelManifest.read(self.blobs, model, version)

    def links(self, manifest: ModelManifest, *, start: int, limit: int) -> Sequence[Download]:
        """Return up to `limit` files of a manifest, with links. Each file without a SHA-256 costs a call to storage."""
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

"""Downloads: links to the files of a model version, each good for an hour and for reading that one file."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from attrs import frozen

from function_app import names
from function_app.artifacts import ModelManifest
from function_app.receipt import Artifact
from function_app.storage import Blobs, Permission, pages

LIFETIME = timedelta(hours=1)


@frozen(kw_only=True)
class Download:
    """A file of a model version, and where it can be read until `expires`. `md5` in Base64, where storage has one."""

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

    def links(self, manifest: ModelManifest) -> Iterable[Download]:
        """Yield the files that a manifest lists, with links. One listing."""
        prefix = names.model_prefix(manifest.model, manifest.model_version)
        hashes = {item.name: item.md5 for page in pages(self.blobs, names.MODELS, prefix, size=5000) for item in page}
        expires = self.clock().replace(microsecond=0) + LIFETIME
        for file in manifest.files:
            name = f"{prefix}{file.path}"
            url = self.blobs.sign(names.MODELS, name, permission=Permission.READ, expires=expires)
            yield Download(file=file, md5=hashes.get(name), url=url, expires=expires)

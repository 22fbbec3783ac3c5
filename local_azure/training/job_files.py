"""Transfers a job's files: inputs from the storage account, outputs and logs to it."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from attrs import frozen
from azure.core.exceptions import AzureError
from azure.storage.blob import BlobProperties, BlobServiceClient, ContainerClient, ContentSettings

from local_azure.errors import LocalAzureError
from local_azure.training.job_document import BlobInput, BlobOutput

_CONNECTIONS = 8
_PIECE = 1 << 20  # bytes


class JobFilesError(LocalAzureError):
    """A job's files could not be transferred."""


@frozen(kw_only=True)
class Upload:
    """A local file, and the name of its blob."""

    file: Path
    blob: str


def blob_service(storage: str) -> BlobServiceClient:
    """Return a client for the account of the connection string, which gives up after about ten seconds."""
    return BlobServiceClient.from_connection_string(
        storage, retry_total=4, initial_backoff=1, increment_base=2, connection_timeout=5, read_timeout=60
    )


def download(service: BlobServiceClient, source: BlobInput, target: Path) -> int:
    """Download an input into the folder `target`; return the number of files.

    Raises:
        JobFilesError: nothing is there, the blobs' names conflict as files, or storage does not answer.
    """
    container = service.get_container_client(source.container)
    try:
        targets = dict(_target_paths(container, source, target))
        if not targets:
            raise JobFilesError(f"There is nothing at {source.path!r} in container {source.container!r}.")
        for folder in {path.parent for path in targets.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for _ in pool.map(lambda item: _fetch(container, *item), targets.items()):
                pass
    except AzureError as error:
        raise JobFilesError(
            f"{source.path!r} in container {source.container!r} could not be read: {error.message}"
        ) from error
    except OSError as error:
        raise JobFilesError(f"{source.path!r} in container {source.container!r}: {error}") from error
    return len(targets)


def restore(service: BlobServiceClient, place: BlobOutput, target: Path) -> int:
    """Download the existing files of an output into the folder `target`; return their number, which may be 0.

    Raises:
        JobFilesError: the blobs' names conflict as files, or storage does not answer.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        first = next(iter(service.get_container_client(place.container).list_blobs(name_starts_with=place.path)), None)
    except AzureError as error:
        raise JobFilesError(f"{place.path!r} in container {place.container!r}: {error.message}") from error
    if first is None:
        return 0
    return download(service, BlobInput(container=place.container, path=place.path, is_file=False), target)


def save(service: BlobServiceClient, folder: Path, place: BlobOutput) -> None:
    """Make the blobs of an output equal to the files in the folder.

    Raises:
        JobFilesError: a file cannot be read, or storage does not answer.
    """
    container = service.get_container_client(place.container)
    files = files_of(folder, place.path.rstrip("/"))
    upload(container, files, last="")
    kept = {item.blob for item in files}
    try:
        for name in [name for name in container.list_blob_names(name_starts_with=place.path) if name not in kept]:
            container.delete_blob(name)
    except AzureError as error:
        raise JobFilesError(f"{place.path!r} in container {place.container!r}: {error.message}") from error


def _target_paths(container: ContainerClient, source: BlobInput, target: Path) -> Iterator[tuple[str, Path]]:
    base = source.path[: source.path.rfind("/") + 1]
    for blob in container.list_blobs(name_starts_with=source.path, include=["metadata"]):
        if (source.is_file and blob.name != source.path) or _is_directory(blob):
            continue
        relative = PurePosixPath(blob.name.removeprefix(base))
        if relative.is_absolute() or ".." in relative.parts or "\0" in blob.name:
            raise JobFilesError(f"The blob name {blob.name!r} is not a path within a folder.")
        yield blob.name, target / relative


def _is_directory(blob: BlobProperties) -> bool:
    """Return whether the blob only marks a directory, as tools for hierarchical accounts create them."""
    return blob.name.endswith("/") or (blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"


def _fetch(container: ContainerClient, name: str, path: Path) -> None:
    with path.open("wb") as file:
        container.download_blob(name).readinto(file)


def files_of(folder: Path, prefix: str) -> list[Upload]:
    """Return every file under the folder, sorted. `prefix` is that of the blobs, without a trailing slash."""
    found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return [
        Upload(file=path, blob=f"{prefix}/{path.relative_to(folder).as_posix()}")
        for path in sorted(found)
        if path.is_file()  # not a socket or a broken link
    ]


def upload(container: ContainerClient, uploads: Iterable[Upload], last: str) -> None:
    """Upload files with their Content-MD5, replacing existing blobs; files named `last` follow all others.

    Raises:
        JobFilesError: a file cannot be read, or storage does not answer.
    """
    ordered = list(uploads)
    try:
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for is_last in (False, True):
                batch = [item for item in ordered if (item.file.name == last) is is_last]
                for _ in pool.map(lambda item: _send(container, item), batch):
                    pass
    except AzureError as error:
        raise JobFilesError(f"The job's files could not be uploaded: {error.message}") from error
    except OSError as error:
        raise JobFilesError(f"The job's files could not be read: {error}") from error


def _send(container: ContainerClient, item: Upload) -> None:
    md5 = hashlib.md5(usedforsecurity=False)
    with item.file.open("rb") as file:
        while piece := file.read(_PIECE):
            md5.update(piece)
        size = file.tell()
        file.seek(0)
        settings = ContentSettings(content_md5=bytearray(md5.digest()))
        container.upload_blob(
            item.blob, file, length=size, overwrite=True, content_settings=settings, max_concurrency=2
        )

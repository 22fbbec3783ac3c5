"""A job's files on their way from and to the storage account: inputs down, outputs and logs up."""

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
    """A job's files could not be brought to where they belong."""


@frozen(kw_only=True)
class Upload:
    """A local file and the blob that it becomes."""

    file: Path
    blob: str


def blob_service(storage: str) -> BlobServiceClient:
    """Return a client of the account that the connection string names, which gives up after about ten seconds."""
    return BlobServiceClient.from_connection_string(
        storage, retry_total=4, initial_backoff=1, increment_base=2, connection_timeout=5, read_timeout=60
    )


def download(service: BlobServiceClient, source: BlobInput, target: Path) -> int:
    """Bring an input into the folder `target`, and return how many files it has.

    Raises JobFilesError where there is nothing, where two blobs cannot stand side by side as files, and where storage
    does not answer.
    """
    container = service.get_container_client(source.container)
    try:
        wanted = dict(_wanted(container, source, target))
        if not wanted:
            raise JobFilesError(f"Nothing stands at {source.path!r} in container {source.container!r}.")
        for folder in {path.parent for path in wanted.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for _ in pool.map(lambda item: _fetch(container, *item), wanted.items()):
                pass
    except AzureError as error:
        raise JobFilesError(
            f"{source.path!r} in container {source.container!r} could not be read: {error.message}"
        ) from error
    except OSError as error:
        raise JobFilesError(f"{source.path!r} in container {source.container!r}: {error}") from error
    return len(wanted)


def restore(service: BlobServiceClient, place: BlobOutput, target: Path) -> int:
    """Bring what an output's place has into the folder `target`, and return how many files that is; 0 is no error.

    Raises JobFilesError as `download` does.
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
    """Make an output's place hold what the folder holds, and nothing else. Raises JobFilesError."""
    container = service.get_container_client(place.container)
    files = files_of(folder, place.path.rstrip("/"))
    upload(container, files, last="")
    kept = {item.blob for item in files}
    try:
        for name in [name for name in container.list_blob_names(name_starts_with=place.path) if name not in kept]:
            container.delete_blob(name)
    except AzureError as error:
        raise JobFilesError(f"{place.path!r} in container {place.container!r}: {error.message}") from error


def _wanted(container: ContainerClient, source: BlobInput, target: Path) -> Iterator[tuple[str, Path]]:
    base = source.path[: source.path.rfind("/") + 1]
    for blob in container.list_blobs(name_starts_with=source.path, include=["metadata"]):
        if (source.is_file and blob.name != source.path) or _is_directory(blob):
            continue
        relative = PurePosixPath(blob.name.removeprefix(base))
        if relative.is_absolute() or ".." in relative.parts or "\0" in blob.name:
            raise JobFilesError(f"The blob name {blob.name!r} is no path within a folder.")
        yield blob.name, target / relative


def _is_directory(blob: BlobProperties) -> bool:
    """Say whether the blob only marks a directory, as tools for hierarchical accounts make them."""
    return blob.name.endswith("/") or (blob.metadata or {}).get("hdi_isfolder", "").lower() == "true"


def _fetch(container: ContainerClient, name: str, path: Path) -> None:
    with path.open("wb") as file:
        container.download_blob(name).readinto(file)


def files_of(folder: Path, prefix: str) -> list[Upload]:
    """Return every file under the folder, by name. `prefix` is that of the blobs, without a closing slash."""
    found = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return [
        Upload(file=path, blob=f"{prefix}/{path.relative_to(folder).as_posix()}")
        for path in sorted(found)
        if path.is_file()  # neither a socket nor a broken link
    ]


def upload(container: ContainerClient, uploads: Iterable[Upload], last: str) -> None:
    """Upload files with their Content-MD5, over what may be there; one that is named `last` follows all others.

    Raises JobFilesError.
    """
    ordered = list(uploads)
    try:
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for wanted in (False, True):
                batch = [item for item in ordered if (item.file.name == last) is wanted]
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

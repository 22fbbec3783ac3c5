"""The log of a job, at the address that the run history returns."""

from http import HTTPStatus

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from function_app.azure.ml_workspace import RETRY_OPTIONS
from function_app.ports import job_log


def read(address: str, offset: int, limit: int) -> tuple[bytes, int, int]:
    """Return up to `limit` bytes, the offset of the first, and the blob's size; no bytes beyond its end."""
    from azure.storage.blob import BlobClient  # noqa: PLC0415 - slow to import, and logs are read seldom

    with BlobClient.from_blob_url(address, **RETRY_OPTIONS) as client:
        try:
            begin = job_log.start(offset, client.get_blob_properties().size) if offset < 0 else offset
            stream = client.download_blob(offset=begin, length=limit)
        except ResourceNotFoundError:
            return b"", max(0, offset), 0
        except HttpResponseError as error:
            if error.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return b"", begin, begin
        return stream.readall(), begin, _size(stream.properties.content_range)


def _size(content_range: str | None) -> int:
    """Return the total size in `bytes 0-9/10`: 10."""
    return int((content_range or "/0").rpartition("/")[2])

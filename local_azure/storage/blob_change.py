"""Which requests to blob storage change a blob, and the event that Azure Storage raises for each.

Format: https://learn.microsoft.com/azure/event-grid/event-schema-blob-storage (Event Grid schema). As in Azure,
creating a blob, committing blocks, copying and deleting raise an event; containers, metadata, leases, snapshots and
staged blocks do not. Unlike in Azure, a BlobDeleted has no content type and no blob type (the blob no longer exists by
then), and blobs that are deleted in a batch request raise no event.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from attrs import frozen

BLOB_CREATED = "Microsoft.Storage.BlobCreated"
BLOB_DELETED = "Microsoft.Storage.BlobDeleted"

_ACCOUNTS = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/local/providers/Microsoft.Storage"
_DEFAULT_TYPE = "application/octet-stream"
_WITHOUT_EVENTS = ("$logs", "$blobchangefeed")  # containers written by storage itself
_URL_SAFE = "/~-._!$&'()*+,;=:@"


@frozen(kw_only=True)
class BlobOperation:
    """A request that changes a blob if it succeeds. `blob` is the decoded path.

    `content_length`, in bytes, and `content_type` are None if the request does not state them.
    """

    api: str
    account: str
    container: str
    blob: str
    client_request_id: str | None
    content_type: str | None = None
    content_length: int | None = None
    blob_type: str | None = "BlockBlob"

    @property
    def event_type(self) -> str:
        """The type of the event that the operation raises."""
        return BLOB_DELETED if self.api == "DeleteBlob" else BLOB_CREATED

    @property
    def needs_properties(self) -> bool:
        """Whether the event needs properties that must be read from the blob."""
        return self.event_type == BLOB_CREATED and (self.content_length is None or self.content_type is None)


@frozen(kw_only=True)
class BlobChange:
    """An operation that succeeded. The changes of a blob sort by `sequencer` as text."""

    operation: BlobOperation
    request_id: str
    etag: str | None
    time: datetime
    sequencer: str
    copy_pending: bool = False


@frozen(kw_only=True)
class BlobFacts:
    """The properties of a blob for its event. `content_length` is in bytes."""

    content_type: str
    content_length: int
    blob_type: str


def operation_of(method: str, raw_path: str, query: str, headers: Mapping[str, str]) -> BlobOperation | None:
    """Return how a request changes a blob, or None if it raises no event.

    `raw_path` and `query` are as sent, percent-encoded; the path is `/<account>/<container>/<blob>`. Lookup in
    `headers` must ignore case.
    """
    account, _, rest = raw_path.lstrip("/").partition("/")
    container, _, blob = (unquote(part) for part in rest.partition("/"))
    if not blob or container in _WITHOUT_EVENTS or method not in ("PUT", "DELETE"):
        return None
    api = _api(method, parse_qs(query, keep_blank_values=True), headers)
    if api is None:
        return None
    operation = BlobOperation(
        api=api,
        account=account,
        container=container,
        blob=blob,
        client_request_id=headers.get("x-ms-client-request-id"),
    )
    return _with_content(operation, headers) if api == "PutBlob" else operation


def event_of(change: BlobChange, facts: BlobFacts | None, endpoint: str) -> dict[str, Any]:
    """Return the event, in the Event Grid schema. `endpoint` is the blob service's public URL, without the account."""
    operation = change.operation
    path = f"{operation.account}/{operation.container}/{operation.blob}"
    data: dict[str, Any] = {"api": operation.api, "requestId": change.request_id}
    if operation.client_request_id:
        data["clientRequestId"] = operation.client_request_id
    if operation.event_type == BLOB_CREATED:
        data["eTag"] = change.etag
        data["contentType"] = facts.content_type if facts else operation.content_type or _DEFAULT_TYPE
        data["contentLength"] = facts.content_length if facts else operation.content_length or 0
        data["blobType"] = facts.blob_type if facts else operation.blob_type
    data["url"] = f"{endpoint.rstrip('/')}/{quote(path, safe=_URL_SAFE)}"
    data["sequencer"] = change.sequencer
    data["storageDiagnostics"] = {"batchId": str(uuid.uuid4())}
    return {
        "topic": f"{_ACCOUNTS}/storageAccounts/{operation.account}",
        "subject": f"/blobServices/default/containers/{operation.container}/blobs/{operation.blob}",
        "eventType": operation.event_type,
        "eventTime": change.time.isoformat().replace("+00:00", "Z"),
        "id": str(uuid.uuid4()),
        "data": data,
        "dataVersion": "",
        "metadataVersion": "1",
    }


def _api(method: str, query: Mapping[str, list[str]], headers: Mapping[str, str]) -> str | None:
    if "restype" in query:
        return None
    if method == "DELETE":
        deletes_blob = "comp" not in query and "snapshot" not in query and "versionid" not in query
        return "DeleteBlob" if deletes_blob and headers.get("x-ms-delete-snapshots") != "only" else None
    if "comp" in query:
        return "PutBlockList" if query["comp"] == ["blocklist"] else None
    if "x-ms-copy-source" not in headers:
        return "PutBlob" if "x-ms-blob-type" in headers else None
    # With a blob type as well, it is Put Blob From URL.
    return "PutBlobFromUrl" if "x-ms-blob-type" in headers else "CopyBlob"


def _with_content(operation: BlobOperation, headers: Mapping[str, str]) -> BlobOperation:
    """Add the content's properties: the headers of Put Blob state them, unless the body is chunked."""
    length = headers.get("x-ms-blob-content-length", headers.get("content-length"))
    return BlobOperation(
        api=operation.api,
        account=operation.account,
        container=operation.container,
        blob=operation.blob,
        client_request_id=operation.client_request_id,
        content_type=headers.get("x-ms-blob-content-type") or headers.get("content-type") or _DEFAULT_TYPE,
        content_length=int(length) if length and length.isdecimal() else None,
        blob_type=headers["x-ms-blob-type"],
    )

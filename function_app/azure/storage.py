"""Storage over `azure-storage-blob` and `azure-storage-queue`."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self, cast
from urllib.parse import quote

from attrs import field, frozen
from azure.core import MatchConditions
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobPrefix, BlobProperties, BlobServiceClient
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from function_app.azure.sas import BlobSigner
from function_app.azure.storage_errors import translate_errors
from function_app.azure.storage_lease import HeldLease
from function_app.errors import BlobNotFound, InvalidSettings, PreconditionFailed, StorageError
from function_app.ports import storage
from function_app.ports.storage import BlobItem, CopyStatus, Folders, Lease, Listing, Page, Permission
from function_app.timing import Timing

NEVER_EXPIRES = -1


class _Clock:
    """Takes the storage's clock from the Date header of a response."""

    now: datetime | None = None

    def __call__(self, response: Any) -> None:  # noqa: ANN401 - azure-core hands its internal pipeline response here
        if self.now is None:
            self.now = parsedate_to_datetime(response.http_response.headers["Date"])

    def read(self) -> datetime:
        return self.now or datetime.now(UTC)


def _item(blob: BlobProperties) -> BlobItem:
    settings = blob.content_settings
    return BlobItem(
        name=blob.name,
        size=blob.size,
        etag=(blob.etag or "").strip('"'),
        modified=blob.last_modified or datetime.now(UTC),
        md5=base64.b64encode(settings.content_md5).decode() if settings.content_md5 else None,
        metadata=dict(blob.metadata or {}),
        # A blob gets its content type when its blocks are committed, so an upload in progress has none.
        committed=not (blob.size == 0 and settings.content_type is None),
        copy=_copy_status(blob.copy.status),
    )


def _unchanged(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _copy_status(status: str | None) -> CopyStatus:
    if not status:
        return CopyStatus.NONE
    return CopyStatus(status) if status in ("pending", "success") else CopyStatus.FAILED


@frozen
class AzureBlobs:
    """Blobs of an account, through Azure's client library: the port `Blobs`, which says what each method raises."""

    client: BlobServiceClient = field(repr=False)
    timing: Timing = field(factory=Timing)
    signer: BlobSigner = field(init=False, repr=False, eq=False)

    @signer.default
    def _signer(self) -> BlobSigner:
        return BlobSigner(self.client)

    def list(self, container: str, prefix: str, *, uncommitted: bool = False) -> Listing:
        """Return all blobs whose names start with `prefix`, with metadata and the state of copies."""
        clock = _Clock()
        include = ["metadata", "copy", *(["uncommittedblobs"] if uncommitted else [])]
        with translate_errors(f"list {container}/{prefix}"):
            blobs = self.client.get_container_client(container).list_blobs(
                name_starts_with=prefix, include=include, raw_response_hook=clock
            )
            items = [_item(blob) for blob in blobs]
        return Listing(items=items, now=clock.read())

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        """Return up to `size` blobs, at most 5,000."""
        clock = _Clock()
        include = ["metadata", "copy", *(["uncommittedblobs"] if uncommitted else [])]
        with translate_errors(f"list {container}/{prefix}"):
            pager = (
                self.client.get_container_client(container)
                .list_blobs(name_starts_with=prefix, include=include, results_per_page=size, raw_response_hook=clock)
                .by_page(continuation_token=token)
            )
            items = [_item(blob) for blob in next(pager, ())]
        return Page(items=items, token=cast("Any", pager).continuation_token or None, now=clock.read())

    def folders(self, container: str, *, size: int, token: str | None = None) -> Folders:
        """Return up to `size` top-level folders."""
        with translate_errors(f"list the folders of {container}"):
            pager = (
                self.client.get_container_client(container)
                .walk_blobs(delimiter="/", results_per_page=size)
                .by_page(continuation_token=token)
            )
            names = [blob.name.rstrip("/") for blob in next(pager, ()) if isinstance(blob, BlobPrefix)]
        return Folders(names=names, token=cast("Any", pager).continuation_token or None)

    def read(self, container: str, name: str, *, limit: int | None = None) -> storage.Blob:
        """Return a blob, or its first `limit` bytes."""
        clock = _Clock()
        client = self.client.get_blob_client(container, name)
        with translate_errors(f"read {container}/{name}"):
            try:
                download = client.download_blob(
                    offset=None if limit is None else 0, length=limit, raw_response_hook=clock
                )
            except HttpResponseError as error:
                if error.status_code != 416:  # noqa: PLR2004 - as above
                    raise
                download = client.download_blob(raw_response_hook=clock)  # an empty blob has no first bytes
            data = download.readall()
            properties = download.properties
        return storage.Blob(
            data=data, etag=properties.etag.strip('"'), modified=properties.last_modified, now=clock.read()
        )

    def read_from(self, container: str, name: str, offset: int, limit: int) -> bytes:
        """Return up to `limit` bytes from an offset; none if the blob does not exist or ends before."""
        try:
            with translate_errors(f"read {container}/{name}"):
                client = self.client.get_blob_client(container, name)
                return client.download_blob(offset=offset, length=limit).readall()
        except BlobNotFound:
            return b""
        except StorageError as error:
            if "InvalidRange" not in str(error):
                raise
            return b""

    def append(self, container: str, name: str, data: bytes) -> None:
        """Append to a blob, which is created if it does not exist."""
        client = self.client.get_blob_client(container, name)
        try:
            with translate_errors(f"append to {container}/{name}"):
                client.append_block(data)
        except BlobNotFound:
            with contextlib.suppress(PreconditionFailed), translate_errors(f"create {container}/{name}"):
                client.create_append_blob(match_condition=MatchConditions.IfMissing)
            with translate_errors(f"append to {container}/{name}"):
                client.append_block(data)

    def sign(self, container: str, name: str, *, permission: Permission, expires: datetime) -> str:
        """Return a link to a blob that is valid until it expires."""
        with translate_errors(f"sign {container}/{name}"):
            return f"{self._url(container, name)}?{self.signer.sign(container, name, permission, expires)}"

    def get(self, container: str, name: str) -> BlobItem | None:
        """Return a blob's properties, or None if it does not exist."""
        try:
            with translate_errors(f"look at {container}/{name}"):
                return _item(self.client.get_blob_client(container, name).get_blob_properties())
        except BlobNotFound:
            return None

    def create(self, container: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> datetime:
        """Create a blob, and return the time by the storage's clock."""
        with translate_errors(f"create {container}/{name}"):
            answer = self.client.get_blob_client(container, name).upload_blob(
                data, metadata=dict(metadata or {}), overwrite=False
            )
        return cast("datetime", answer["date"])

    def replace(
        self,
        container: str,
        name: str,
        data: bytes,
        *,
        etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
        lease: Lease | None = None,
    ) -> str:
        """Write a blob, if it still has this ETag, and return its new ETag."""
        conditions: dict[str, Any] = {"lease": lease.id} if lease else {}
        with translate_errors(f"write {container}/{name}"):
            answer = self.client.get_blob_client(container, name).upload_blob(
                data, metadata=dict(metadata or {}), overwrite=True, **conditions, **_unchanged(etag)
            )
        return str(answer["etag"]).strip('"')

    def delete(self, container: str, name: str, *, etag: str | None = None) -> bool:
        """Delete a blob, if it still has this ETag; return whether it existed."""
        try:
            with translate_errors(f"delete {container}/{name}"):
                self.client.get_blob_client(container, name).delete_blob("include", **_unchanged(etag))
        except BlobNotFound:
            return False
        return True

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        """Start the copy of a blob that still has this ETag, within the account, and return its state."""
        with translate_errors(f"copy {'/'.join(source)} to {'/'.join(target)}"):
            answer = self.client.get_blob_client(*target).start_copy_from_url(
                self._url(*source),
                metadata=dict(metadata or {}),
                source_etag=f'"{etag}"',
                source_match_condition=MatchConditions.IfNotModified,
            )
        return _copy_status(cast("str", answer["copy_status"]))

    def _url(self, container: str, name: str) -> str:
        # Not BlobClient.url: if the client has an account SAS, that would put it into a header.
        return f"{self.client.url.partition('?')[0].rstrip('/')}/{container}/{quote(name, safe='/')}"

    @contextmanager
    def lease(self, container: str, name: str, seconds: int) -> Iterator[Lease]:
        """Hold a lease on a blob."""
        label = f"{container}/{name}"
        with translate_errors(f"lease {label}"):
            client = self.client.get_blob_client(container, name).acquire_lease(lease_duration=seconds)
        try:
            yield HeldLease(client, label, renew_after=self.timing.lease_renewal)
        finally:
            try:
                with translate_errors(f"release the lease on {label}"):
                    client.release()
            except StorageError:
                pass  # the lease expires by itself, and the work under it is done


@frozen
class AzureQueues:
    """Queues of an account, through Azure's client library; messages are in Base64, as set in host.json."""

    client: QueueServiceClient = field(repr=False)

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        """Put a message on a queue, visible after `delay` seconds. It never expires."""
        with translate_errors(f"send to the queue {queue}"):
            self.client.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy()).send_message(
                json.dumps(message, separators=(",", ":")),
                visibility_timeout=round(delay),
                time_to_live=NEVER_EXPIRES,
            )


@frozen
class StorageAccount:
    """A storage account: its blobs and its queues."""

    blobs: AzureBlobs
    queues: AzureQueues

    @classmethod
    def connect(
        cls,
        environ: Mapping[str, str],
        credential: TokenCredential | None,
        *,
        prefix: str,
        timing: Timing | None = None,
    ) -> Self:
        """Connect by connection string (`<prefix>`), or by identity (`<prefix>__blobServiceUri`, `…__queueServiceUri`).

        Raises:
            InvalidSettings: Neither is set.
        """
        timing = timing or Timing()
        options: dict[str, Any] = {
            "retry_total": 3,
            "initial_backoff": timing.storage_retry,
            "increment_base": timing.storage_retry / 5,
            "random_jitter_range": timing.storage_retry / 5,
            "connection_timeout": 10,
            "read_timeout": 60,
        }
        if connection := environ.get(prefix):
            return cls(
                AzureBlobs(BlobServiceClient.from_connection_string(connection, **options), timing),
                AzureQueues(QueueServiceClient.from_connection_string(connection, **options)),
            )
        blob_uri, queue_uri = (environ.get(f"{prefix}__{kind}ServiceUri") for kind in ("blob", "queue"))
        if not blob_uri or not queue_uri or credential is None:
            raise InvalidSettings(
                f"Storage is not configured: set {prefix}__blobServiceUri and {prefix}__queueServiceUri "
                f"(identity), or {prefix} (a connection string, for one machine)."
            )
        return cls(
            AzureBlobs(BlobServiceClient(blob_uri, credential, **options), timing),
            AzureQueues(QueueServiceClient(queue_uri, credential, **options)),
        )

"""Storage over `azure-storage-blob` and `azure-storage-queue`."""

import base64
import contextlib
import json
import threading
import time
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
from azure.storage.blob import BlobLeaseClient, BlobPrefix, BlobProperties, BlobServiceClient
from azure.storage.queue import QueueServiceClient, TextBase64EncodePolicy

from function_app.azure.sas import BlobSigner
from function_app.azure.storage_errors import translated
from function_app.errors import BlobNotFound, InvalidSettings, PreconditionFailed, StorageError
from function_app.ports import storage
from function_app.ports.storage import BlobItem, CopyStatus, Folders, Lease, Listing, Page, Permission
from function_app.timing import Timing

NEVER_EXPIRES = -1


class _Clock:
    """Takes the storage's clock from the Date header of an answer."""

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
        # Only a list of blocks gives a blob its content type, so an upload in progress has none.
        committed=not (blob.size == 0 and settings.content_type is None),
        copy=_copy_status(blob.copy.status),
    )


def _unchanged(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _copy_status(status: str | None) -> CopyStatus:
    if not status:
        return CopyStatus.NONE
    return CopyStatus(status) if status in ("pending", "success") else CopyStatus.FAILED


class HeldLease:
    """A lease on a blob that its holder keeps by calling `renew` between steps.

    Within `renew_after` seconds of the last renewal, `renew` does nothing.
    """

    def __init__(self, client: BlobLeaseClient, name: str, *, renew_after: float) -> None:
        self._client = client
        self._name = name
        self._renew_after = renew_after
        self._renewed = time.monotonic()
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        return str(self._client.id)

    def renew(self) -> None:
        with self._lock:
            if time.monotonic() - self._renewed < self._renew_after:
                return
            with translated(f"renew the lease on {self._name}"):
                self._client.renew()
            self._renewed = time.monotonic()


@frozen
class AzureBlobs:
    """Blobs of an account, through the real client."""

    client: BlobServiceClient = field(repr=False)
    timing: Timing = field(factory=Timing)
    signer: BlobSigner = field(init=False, repr=False, eq=False)

    @signer.default
    def _signer(self) -> BlobSigner:
        return BlobSigner(self.client)

    def list(self, container: str, prefix: str, *, uncommitted: bool = False) -> Listing:
        clock = _Clock()
        include = ["metadata", "copy", *(["uncommittedblobs"] if uncommitted else [])]
        with translated(f"list {container}/{prefix}"):
            blobs = self.client.get_container_client(container).list_blobs(
                name_starts_with=prefix, include=include, raw_response_hook=clock
            )
            items = [_item(blob) for blob in blobs]
        return Listing(items=items, now=clock.read())

    def page(
        self, container: str, prefix: str, *, size: int, token: str | None = None, uncommitted: bool = False
    ) -> Page:
        clock = _Clock()
        include = ["metadata", "copy", *(["uncommittedblobs"] if uncommitted else [])]
        with translated(f"list {container}/{prefix}"):
            pager = (
                self.client.get_container_client(container)
                .list_blobs(name_starts_with=prefix, include=include, results_per_page=size, raw_response_hook=clock)
                .by_page(continuation_token=token)
            )
            items = [_item(blob) for blob in next(pager, ())]
        return Page(items=items, token=cast("Any", pager).continuation_token or None, now=clock.read())

    def folders(self, container: str, *, size: int, token: str | None = None) -> Folders:
        with translated(f"list the folders of {container}"):
            pager = (
                self.client.get_container_client(container)
                .walk_blobs(delimiter="/", results_per_page=size)
                .by_page(continuation_token=token)
            )
            names = [blob.name.rstrip("/") for blob in next(pager, ()) if isinstance(blob, BlobPrefix)]
        return Folders(names=names, token=cast("Any", pager).continuation_token or None)

    def read(self, container: str, name: str, *, limit: int | None = None) -> storage.Blob:
        clock = _Clock()
        client = self.client.get_blob_client(container, name)
        with translated(f"read {container}/{name}"):
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
        try:
            with translated(f"read {container}/{name}"):
                client = self.client.get_blob_client(container, name)
                return client.download_blob(offset=offset, length=limit).readall()
        except BlobNotFound:
            return b""
        except StorageError as error:
            if "InvalidRange" not in str(error):
                raise
            return b""

    def append(self, container: str, name: str, data: bytes) -> None:
        client = self.client.get_blob_client(container, name)
        try:
            with translated(f"append to {container}/{name}"):
                client.append_block(data)
        except BlobNotFound:
            with contextlib.suppress(PreconditionFailed), translated(f"create {container}/{name}"):
                client.create_append_blob(match_condition=MatchConditions.IfMissing)
            with translated(f"append to {container}/{name}"):
                client.append_block(data)

    def sign(self, container: str, name: str, *, permission: Permission, expires: datetime) -> str:
        with translated(f"sign {container}/{name}"):
            return f"{self._url(container, name)}?{self.signer.sign(container, name, permission, expires)}"

    def get(self, container: str, name: str) -> BlobItem | None:
        try:
            with translated(f"look at {container}/{name}"):
                return _item(self.client.get_blob_client(container, name).get_blob_properties())
        except BlobNotFound:
            return None

    def create(self, container: str, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> datetime:
        with translated(f"create {container}/{name}"):
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
        conditions: dict[str, Any] = {"lease": lease.id} if lease else {}
        with translated(f"write {container}/{name}"):
            answer = self.client.get_blob_client(container, name).upload_blob(
                data, metadata=dict(metadata or {}), overwrite=True, **conditions, **_unchanged(etag)
            )
        return str(answer["etag"]).strip('"')

    def delete(self, container: str, name: str, *, etag: str | None = None) -> bool:
        try:
            with translated(f"delete {container}/{name}"):
                self.client.get_blob_client(container, name).delete_blob("include", **_unchanged(etag))
        except BlobNotFound:
            return False
        return True

    def copy(
        self, source: tuple[str, str], target: tuple[str, str], *, etag: str, metadata: Mapping[str, str] | None = None
    ) -> CopyStatus:
        with translated(f"copy {'/'.join(source)} to {'/'.join(target)}"):
            answer = self.client.get_blob_client(*target).start_copy_from_url(
                self._url(*source),
                metadata=dict(metadata or {}),
                source_etag=f'"{etag}"',
                source_match_condition=MatchConditions.IfNotModified,
            )
        return _copy_status(cast("str", answer["copy_status"]))

    def _url(self, container: str, name: str) -> str:
        # Not BlobClient.url: that carries the account SAS of the client, where there is one, into a header.
        return f"{self.client.url.partition('?')[0].rstrip('/')}/{container}/{quote(name, safe='/')}"

    @contextmanager
    def lease(self, container: str, name: str, seconds: int) -> Iterator[Lease]:
        label = f"{container}/{name}"
        with translated(f"lease {label}"):
            client = self.client.get_blob_client(container, name).acquire_lease(lease_duration=seconds)
        try:
            yield HeldLease(client, label, renew_after=self.timing.lease_renewal)
        finally:
            try:
                with translated(f"release the lease on {label}"):
                    client.release()
            except StorageError:
                pass  # it runs out by itself, and what was done under it is done


@frozen
class AzureQueues:
    """Queues of an account, through the real client, in Base64 as host.json says."""

    client: QueueServiceClient = field(repr=False)

    def send(self, queue: str, message: Mapping[str, Any], *, delay: float = 0) -> None:
        with translated(f"send to the queue {queue}"):
            self.client.get_queue_client(queue, message_encode_policy=TextBase64EncodePolicy()).send_message(
                json.dumps(message, separators=(",", ":")),
                visibility_timeout=round(delay),
                time_to_live=NEVER_EXPIRES,
            )


@frozen
class StorageAccount:
    """One account: its blobs and its queues."""

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
            InvalidSettings: where neither is set.
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

"""The client's boundary, without a socket: what its answers and errors become. `tests/contract` has the rest."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobProperties, BlobServiceClient, StorageErrorCode
from azure.storage.queue import QueueServiceClient
from pytest_mock import MockerFixture, MockType

from function_app.azure.storage import AzureBlobs, AzureQueues, StorageAccount
from function_app.azure.storage_lease import HeldLease
from function_app.errors import BlobNotFound, InvalidSettings, PreconditionFailed, StorageError, StorageUnavailable
from function_app.ports.storage import CopyStatus
from function_app.timing import Timing

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = base64.b64encode(b"key").decode()


def error(kind: type[HttpResponseError], status: int | None, code: object, mocker: MockerFixture) -> HttpResponseError:
    response = None
    if status is not None:
        response = mocker.Mock(status_code=status, reason="a reason", headers={})
    made = kind(message="the service's words", response=response)
    made.error_code = code  # type: ignore[attr-defined]
    return made


@pytest.fixture
def client(mocker: MockerFixture) -> MockType:
    service: MockType = mocker.create_autospec(BlobServiceClient, instance=True)
    service.url = "https://kedja.blob.core.windows.net/"
    return service


@pytest.fixture
def blobs(client: MockType) -> AzureBlobs:
    return AzureBlobs(client)


@pytest.mark.parametrize(
    ("kind", "status", "code", "expected"),
    [
        (ResourceNotFoundError, 404, "BlobNotFound", BlobNotFound),
        (ResourceNotFoundError, 404, StorageErrorCode.CONTAINER_NOT_FOUND, StorageUnavailable),
        (ResourceNotFoundError, 404, "CannotVerifyCopySource", BlobNotFound),
        (ResourceNotFoundError, 404, "ResourceNotFound", StorageUnavailable),
        (ResourceNotFoundError, 404, None, StorageUnavailable),
        (HttpResponseError, 200, None, StorageUnavailable),
        (ResourceModifiedError, 412, "ConditionNotMet", PreconditionFailed),
        (HttpResponseError, 412, StorageErrorCode.LEASE_ID_MISSING, PreconditionFailed),
        (HttpResponseError, 304, None, PreconditionFailed),
        (ResourceExistsError, 409, "BlobAlreadyExists", PreconditionFailed),
        (ResourceExistsError, 409, StorageErrorCode.BLOB_ALREADY_EXISTS, PreconditionFailed),
        (HttpResponseError, 409, "LeaseAlreadyPresent", PreconditionFailed),
        (HttpResponseError, 409, StorageErrorCode.LEASE_ID_MISMATCH_WITH_LEASE_OPERATION, PreconditionFailed),
        (HttpResponseError, 409, "PendingCopyOperation", PreconditionFailed),
        (HttpResponseError, 409, "ContainerBeingDeleted", StorageError),
        (HttpResponseError, 403, "AuthorizationFailure", StorageError),
        (HttpResponseError, 400, None, StorageError),
        (HttpResponseError, 408, None, StorageUnavailable),
        (HttpResponseError, 429, None, StorageUnavailable),
        (HttpResponseError, 500, "InternalError", StorageUnavailable),
        (HttpResponseError, 503, "ServerBusy", StorageUnavailable),
        (HttpResponseError, None, None, StorageUnavailable),
    ],
)
def test_each_error_is_one_of_the_ports(
    blobs: AzureBlobs,
    client: MockType,
    mocker: MockerFixture,
    kind: type[HttpResponseError],
    status: int | None,
    code: object,
    expected: type[StorageError],
) -> None:
    client.get_blob_client.return_value.upload_blob.side_effect = error(kind, status, code, mocker)
    with pytest.raises(StorageError, match=r"create receipts/digits/a\.json: ") as raised:
        blobs.create("receipts", "digits/a.json", b"")
    assert type(raised.value) is expected
    if code is not None:
        assert str(raised.value).endswith(str(getattr(code, "value", code)))


@pytest.mark.parametrize("failure", [ServiceRequestError("refused"), ServiceResponseError("reset")])
def test_no_answer_is_unavailable(blobs: AzureBlobs, client: MockType, failure: Exception) -> None:
    client.get_blob_client.return_value.get_blob_properties.side_effect = failure
    with pytest.raises(StorageUnavailable, match="look at receipts/a: re"):
        blobs.get("receipts", "a")


def test_other_errors_are_not_hidden(blobs: AzureBlobs, client: MockType) -> None:
    client.get_blob_client.side_effect = ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        blobs.get("receipts", "a")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, CopyStatus.NONE),
        ("", CopyStatus.NONE),
        ("pending", CopyStatus.PENDING),
        ("success", CopyStatus.SUCCESS),
        ("aborted", CopyStatus.FAILED),
        ("failed", CopyStatus.FAILED),
    ],
)
def test_properties_become_an_item(
    blobs: AzureBlobs, client: MockType, status: str | None, expected: CopyStatus
) -> None:
    properties = BlobProperties(
        **{"Content-Type": "application/octet-stream", "Content-MD5": bytearray(b"0" * 16), "ETag": '"0x1"'}
    )
    properties.name, properties.size, properties.last_modified = "a", 3, NOW
    properties.metadata = {"status": "running"}
    properties.copy.status = status
    client.get_blob_client.return_value.get_blob_properties.return_value = properties
    item = blobs.get("data", "a")
    assert item is not None
    assert (item.name, item.size, item.etag, item.modified) == ("a", 3, "0x1", NOW)
    assert (item.md5, item.metadata, item.committed) == (
        base64.b64encode(b"0" * 16).decode(),
        {"status": "running"},
        True,
    )
    assert item.copy is expected


def test_a_copys_source_is_named_without_the_clients_signature(client: MockType) -> None:
    client.url = "https://kedja.blob.core.windows.net/?sig=very-secret"
    client.get_blob_client.return_value.start_copy_from_url.return_value = {"copy_status": "success"}
    AzureBlobs(client).copy(("data", "a #1/ü?.npz"), ("models", "b"), etag="0x1")
    (source,), options = client.get_blob_client.return_value.start_copy_from_url.call_args
    assert source == "https://kedja.blob.core.windows.net/data/a%20%231/%C3%BC%3F.npz"
    assert options["source_etag"] == '"0x1"'


class TestLease:
    @pytest.fixture
    def lease(self, mocker: MockerFixture) -> MockType:
        made: MockType = mocker.Mock(id="lease")
        return made

    def test_is_renewed_now_and_then(self, lease: MockType, mocker: MockerFixture) -> None:
        clock = mocker.patch("function_app.azure.storage_lease.time.monotonic", return_value=100.0)
        held = HeldLease(lease, "receipts/a", renew_after=15)
        held.renew()
        clock.return_value = 116.0
        held.renew()
        held.renew()
        assert lease.renew.call_count == 1

    def test_is_renewed_as_often_as_the_timing_says(self, client: MockType, mocker: MockerFixture) -> None:
        clock = mocker.patch("function_app.azure.storage_lease.time.monotonic", return_value=100.0)
        lease = client.get_blob_client.return_value.acquire_lease.return_value
        with AzureBlobs(client, Timing(lease_renewal=4.0)).lease("receipts", "a", 15) as held:
            clock.return_value = 103.0
            held.renew()
            assert lease.renew.call_count == 0
            clock.return_value = 105.0
            held.renew()
            assert lease.renew.call_count == 1

    def test_that_was_lost_says_so(self, lease: MockType, mocker: MockerFixture) -> None:
        clock = mocker.patch("function_app.azure.storage_lease.time.monotonic", return_value=100.0)
        held = HeldLease(lease, "receipts/a", renew_after=15)
        clock.return_value = 200.0
        lease.renew.side_effect = error(HttpResponseError, 409, "LeaseIdMismatchWithLeaseOperation", mocker)
        with pytest.raises(PreconditionFailed, match="renew the lease on receipts/a"):
            held.renew()

    def test_that_cannot_be_released_runs_out(self, blobs: AzureBlobs, client: MockType, mocker: MockerFixture) -> None:
        lease = client.get_blob_client.return_value.acquire_lease.return_value
        lease.release.side_effect = error(HttpResponseError, 503, "ServerBusy", mocker)
        with blobs.lease("receipts", "a", 60):
            pass
        assert lease.release.call_count == 1


def test_a_message_never_expires(mocker: MockerFixture) -> None:
    client: MockType = mocker.create_autospec(QueueServiceClient, instance=True)
    AzureQueues(client).send("run-events", {"job": "digits-1"}, delay=4.6)
    (text,), options = client.get_queue_client.return_value.send_message.call_args
    assert json.loads(text) == {"job": "digits-1"}
    assert options == {"visibility_timeout": 5, "time_to_live": -1}
    (queue,), policy = client.get_queue_client.call_args
    assert (queue, type(policy["message_encode_policy"]).__name__) == ("run-events", "TextBase64EncodePolicy")


class TestConnect:
    def test_by_connection_string(self) -> None:
        text = f"DefaultEndpointsProtocol=https;AccountName=kedja;AccountKey={KEY};EndpointSuffix=core.windows.net"
        account = StorageAccount.connect({"KedjaStorage": text}, None, prefix="KedjaStorage")
        assert account.blobs.client.url.rstrip("/") == "https://kedja.blob.core.windows.net"
        assert account.queues.client.url.rstrip("/") == "https://kedja.queue.core.windows.net"
        assert KEY not in repr(account)

    @pytest.mark.parametrize(
        ("timing", "first", "last"),
        [(Timing(), (15, 21), (39, 45)), (Timing(storage_retry=0.2), (0.1, 0.3), (0.1, 0.3))],
    )
    def test_failed_requests_are_repeated_after_the_given_time(
        self, mocker: MockerFixture, timing: Timing, first: tuple[float, float], last: tuple[float, float]
    ) -> None:
        mocker.patch.object(RequestsTransport, "send", autospec=True, side_effect=ServiceRequestError("refused"))
        slept = mocker.patch("time.sleep")
        text = f"DefaultEndpointsProtocol=https;AccountName=kedja;AccountKey={KEY};EndpointSuffix=core.windows.net"
        account = StorageAccount.connect({"KedjaStorage": text}, None, prefix="KedjaStorage", timing=timing)
        for ask in (lambda: account.blobs.read("data", "x"), lambda: account.queues.send("q", {"a": 1})):
            slept.reset_mock()
            with pytest.raises(StorageUnavailable):
                ask()
            pauses = [call.args[0] for call in slept.call_args_list]
            assert len(pauses) == 3
            assert first[0] <= pauses[0] <= first[1]
            assert last[0] <= pauses[-1] <= last[1]

    def test_by_identity(self, mocker: MockerFixture) -> None:
        settings = {
            "KedjaStorage__blobServiceUri": "https://kedja.blob.core.windows.net",
            "KedjaStorage__queueServiceUri": "https://kedja.queue.core.windows.net",
        }
        account = StorageAccount.connect(settings, mocker.Mock(spec=["get_token"]), prefix="KedjaStorage")
        assert account.blobs.client.url.rstrip("/") == "https://kedja.blob.core.windows.net"

    @pytest.mark.parametrize("settings", [{}, {"KedjaStorage__blobServiceUri": "https://kedja.blob.core.windows.net"}])
    def test_without_settings_names_them(self, settings: dict[str, str], mocker: MockerFixture) -> None:
        with pytest.raises(InvalidSettings, match="KedjaStorage__blobServiceUri and KedjaStorage__queueServiceUri"):
            StorageAccount.connect(settings, mocker.Mock(spec=["get_token"]), prefix="KedjaStorage")


def test_an_empty_blob_has_no_first_bytes(blobs: AzureBlobs, client: MockType, mocker: MockerFixture) -> None:
    whole = mocker.Mock(readall=lambda: b"", properties=mocker.Mock(etag='"0x1"', last_modified=NOW))
    answers: list[Callable[[], object] | object] = [error(HttpResponseError, 416, "InvalidRange", mocker), whole]
    client.get_blob_client.return_value.download_blob.side_effect = answers
    assert blobs.read("scripts", "digits/job.yaml", limit=10).data == b""

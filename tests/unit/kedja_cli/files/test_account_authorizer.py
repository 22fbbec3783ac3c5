from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobProperties, ContentSettings, UserDelegationKey
from pytest_mock import MockerFixture

from kedja_cli.errors import CommandError, Exit
from kedja_cli.files.account_authorizer import AccountAuthorizer
from kedja_cli.files.local_file import LocalFile
from tests.unit.kedja_cli.fake_storage import md5

CONNECTION = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=c2VjcmV0;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
)
URL = "https://account.blob.core.windows.net"
LISTED = "azure.storage.blob.ContainerClient.list_blobs"


def file(name: str, size: int = 3) -> LocalFile:
    return LocalFile(path=Path(name), container="data", name=name, size=size, modified=0)


def listed(name: str, content: bytes) -> BlobProperties:
    blob = BlobProperties(name=name, content_settings=ContentSettings(content_md5=None))
    blob.size = len(content)
    return blob


def test_grants_are_signed_with_the_accounts_key_by_one_listing(mocker: MockerFixture) -> None:
    there = BlobProperties(name="digits/a b.csv")
    there.size = 3
    there.content_settings = ContentSettings(content_md5=bytearray.fromhex("f97c5d29941bfb1b2fdab0874906ab82"))
    listing = mocker.patch(LISTED, return_value=[there, listed("digits/unhashed", b"x")])
    authorizer = AccountAuthorizer(CONNECTION, "digits")
    first, unhashed, new = authorizer.grants(
        [(file("a b.csv"), None), (file("unhashed", 1), None), (file("new"), None)]
    )
    authorizer.grants([(file("new"), None)])
    listing.assert_called_once_with(name_starts_with="digits/")
    assert first.url is not None
    parts = urlsplit(first.url)
    assert parts.path == "/devstoreaccount1/data/digits/a%20b.csv"
    assert {name: parse_qs(parts.query)[name] for name in ("sp", "sr")} == {"sp": ["rcwl"], "sr": ["c"]}
    assert first.has(file("a b.csv"), md5(b"one"))
    assert not unhashed.has(file("unhashed", 1), md5(b"x"))
    assert (new.existing_size, new.blocks) == (None, True)
    assert "secret" not in repr(authorizer)
    assert "sig=" not in repr(first)


def test_whoever_has_signed_in_gets_a_key_of_entra_id(mocker: MockerFixture) -> None:
    credential = mocker.Mock(spec=["get_token"])
    mocker.patch("kedja_cli.files.account_authorizer.DefaultAzureCredential", return_value=credential)
    mocker.patch(LISTED, return_value=[])
    key = UserDelegationKey()  # type: ignore[no-untyped-call] # the library says nothing of its types
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key.signed_oid = key.signed_tid = "00000000-0000-0000-0000-000000000000"
    key.signed_start = key.signed_expiry = now
    key.signed_service, key.signed_version, key.value = "b", "2023-11-03", "c2VjcmV0"
    mocker.patch("azure.storage.blob.BlobServiceClient.get_user_delegation_key", return_value=key)
    (grant,) = AccountAuthorizer(URL, "digits").grants([(file("a"), None)])
    assert grant.url is not None
    assert grant.url.startswith(f"{URL}/data/digits/a?")
    assert parse_qs(urlsplit(grant.url).query)["skoid"] == [key.signed_oid]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientAuthenticationError("Authentication failed.\nRequestId: 1"), Exit.FAILED),
        (HttpResponseError("It went wrong.\nRequestId: 1"), Exit.FAILED),
    ],
)
def test_error_of_the_account_is_reported_in_one_line(
    mocker: MockerFixture, error: HttpResponseError, code: Exit
) -> None:
    mocker.patch(LISTED, side_effect=error)
    with pytest.raises(CommandError) as caught:
        AccountAuthorizer(CONNECTION, "digits").grants([(file("a"), None)])
    assert caught.value.code is code
    assert "RequestId" not in str(caught.value)


def test_missing_role_says_which(mocker: MockerFixture) -> None:
    error = HttpResponseError("This request is not authorized.")
    error.status_code = 403
    mocker.patch(LISTED, side_effect=error)
    with pytest.raises(CommandError) as caught:
        AccountAuthorizer(CONNECTION, "digits").grants([(file("a"), None)])
    assert caught.value.code is Exit.NOT_ALLOWED
    assert "Storage Blob Data Contributor" in str(caught.value.what_to_do)

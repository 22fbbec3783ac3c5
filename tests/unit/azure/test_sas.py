from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.storage.blob import BlobServiceClient, UserDelegationKey
from pytest_mock import MockerFixture

from function_app.azure.sas import KEY_LIFETIME, BlobSigner
from function_app.errors import InvalidSettings
from function_app.ports.storage import Permission

URL = "https://kedja.blob.core.windows.net"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Identity:
    """Gives a token that nobody checks."""

    def get_token(self, *_scopes: str, **_: Any) -> AccessToken:  # noqa: ANN401 - as TokenCredential
        return AccessToken("token", 4_000_000_000)


def key(_client: object, start: datetime, expiry: datetime) -> UserDelegationKey:
    """Return a user delegation key as storage gives it."""
    made = UserDelegationKey()  # type: ignore[no-untyped-call] # it says nothing of its types
    made.signed_oid, made.signed_tid = "object", "tenant"
    made.signed_start, made.signed_expiry = f"{start:%Y-%m-%dT%H:%M:%SZ}", f"{expiry:%Y-%m-%dT%H:%M:%SZ}"
    made.signed_service, made.signed_version, made.value = "b", "2025-07-05", "a2V5"
    return made


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_in_azure_the_identity_signs_with_one_key_for_hours(mocker: MockerFixture) -> None:
    asked = mocker.patch.object(BlobServiceClient, "get_user_delegation_key", autospec=True, side_effect=key)
    clock = Clock()
    with BlobServiceClient(URL, Identity()) as client:
        signer = BlobSigner(client, clock)
        for _ in range(3):
            query = parse_qs(signer.sign("data", "digits/a b.png", Permission.CREATE, clock.now + HOUR))
            clock.now += HOUR
        assert asked.call_count == 1
        assert query["skoid"] == ["object"]
        assert (query["sp"], query["sr"], query["spr"]) == (["c"], ["b"], ["https"])
        clock.now = NOW + KEY_LIFETIME
        signer.sign("data", "a", Permission.READ, clock.now + HOUR)
        assert asked.call_count == 2


def test_a_key_outlives_every_link_that_it_signs(mocker: MockerFixture) -> None:
    asked = mocker.patch.object(BlobServiceClient, "get_user_delegation_key", autospec=True, side_effect=key)
    clock = Clock()
    with BlobServiceClient(URL, Identity()) as client:
        signer = BlobSigner(client, clock)
        while clock.now < NOW + 3 * KEY_LIFETIME:
            query = parse_qs(signer.sign("data", "a", Permission.READ, clock.now + HOUR))
            assert query["se"][0] <= query["ske"][0]
            assert query["skt"][0] <= f"{clock.now:%Y-%m-%dT%H:%M:%SZ}"
            clock.now += timedelta(minutes=20)
    assert asked.call_count == 4


def test_on_one_machine_the_accounts_key_signs() -> None:
    connection = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
        "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1"
    )
    with BlobServiceClient.from_connection_string(connection) as client:
        query = parse_qs(BlobSigner(client).sign("data", "a", Permission.WRITE, NOW))
    assert (query["sp"], query["spr"], query["se"]) == (["w"], ["https,http"], ["2026-03-01T12:00:00Z"])
    assert "skoid" not in query


@pytest.mark.parametrize("credential", [None, AzureSasCredential("sv=1&sig=x")])
def test_what_cannot_sign_says_so(credential: AzureSasCredential | None) -> None:
    with BlobServiceClient(URL, credential) as client, pytest.raises(InvalidSettings, match="neither"):
        BlobSigner(client).sign("data", "a", Permission.READ, NOW)

import httpx
import pytest
from azure.storage.blob import BlobServiceClient
from pytest_mock import MockerFixture

from kedja_cli.address import check_service, check_storage, is_loopback
from kedja_cli.errors import CommandError, Exit
from kedja_cli.files.account_authorizer import connect
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService

HERE = ["http://127.0.0.1:7071", "http://localhost:7071", "http://LOCALHOST", "http://[::1]:7071", "http://127.8.9.1"]
ELSEWHERE = [
    "http://kedja.example",
    "http://10.0.0.4:7071",
    "http://[2001:db8::1]:7071",
    "http://0.0.0.0:7071",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "HTTP://kedja.example",
]


@pytest.mark.parametrize("url", HERE)
def test_this_machine_needs_no_tls(url: str) -> None:
    assert is_loopback(url)
    check_service(url)
    check_storage(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_nothing_secret_goes_elsewhere_without_tls(url: str) -> None:
    assert not is_loopback(url)
    for check in (check_service, check_storage):
        with pytest.raises(CommandError, match=r"leads to http://.*: without TLS") as caught:
            check(url)
        assert caught.value.code is Exit.USAGE
        assert "Write https://" in str(caught.value.what_to_do)


@pytest.mark.parametrize("words", [("--key", "kedja_1_secret"), ()])
@pytest.mark.parametrize("command", ["jobs", "doctor", "events"])
def test_neither_a_key_nor_a_token_is_sent(
    run: Run, service: FakeService, mocker: MockerFixture, command: str, words: tuple[str, ...]
) -> None:
    token = mocker.patch("kedja_cli.service.api.token", return_value="a token")
    result = run(command, "--url", "http://kedja.example", *words)
    assert result.exit_code == Exit.USAGE
    assert "--url (KEDJA_URL) leads to http://kedja.example" in result.stderr
    assert "secret" not in result.stderr
    assert service.requests == []
    token.assert_not_called()


def test_a_password_in_an_address_is_not_shown(run: Run, service: FakeService) -> None:
    assert "hunter2" not in run("jobs", "--url", "http://ann:hunter2@kedja.example").stderr


def test_tls_is_allowed_to_any_address(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = httpx.Response(200, json={"items": [], "next": None})
    assert run("jobs", "--url", "https://kedja.example", "--key", "kedja_1_secret").exit_code == 0


@pytest.mark.parametrize(
    "account",
    [
        "http://account.blob.example",
        "DefaultEndpointsProtocol=http;AccountName=account;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net",
        "AccountName=account;AccountKey=c2VjcmV0;BlobEndpoint=http://10.0.0.4:10000/account",
    ],
)
def test_no_signed_link_to_a_storage_account_goes_without_tls(account: str, mocker: MockerFixture) -> None:
    opened = mocker.spy(BlobServiceClient, "__init__")
    closed = mocker.spy(BlobServiceClient, "close")
    with pytest.raises(CommandError, match=r"--storage \(KEDJA_STORAGE\) leads to http://") as caught:
        connect(account)
    assert "c2VjcmV0" not in str(caught.value)
    assert closed.call_count == opened.call_count


def test_no_token_is_sent_to_the_emulator() -> None:
    with pytest.raises(CommandError, match="as the person signed in") as caught:
        connect("http://127.0.0.1:10000/devstoreaccount1")
    assert "UseDevelopmentStorage=true" in str(caught.value.what_to_do)


@pytest.mark.parametrize("account", ["UseDevelopmentStorage=true", "https://account.blob.core.windows.net"])
def test_the_emulator_and_azure_are_reached(account: str) -> None:
    with connect(account) as service:
        assert service.url

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from pytest_mock import MockerFixture

from kedja_cli.errors import CommandError, Exit
from kedja_cli.service.sign_in import token


@pytest.fixture
def no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the tokens that other tests were given."""
    monkeypatch.setattr("kedja_cli.service.sign_in._tokens", {})


def test_token_is_of_the_apps_own_address_or_of_the_audience_that_is_named(
    mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch, no_tokens: None
) -> None:
    credential = mocker.patch("azure.identity.DefaultAzureCredential").return_value.__enter__.return_value
    credential.get_token.return_value = AccessToken("t", 2**40)
    assert token("https://kedja.example/") == "t"
    credential.get_token.assert_called_once_with("https://kedja.example/.default")
    monkeypatch.setenv("KEDJA_AUDIENCE", "api://0000")
    token("https://kedja.example/")
    credential.get_token.assert_called_with("api://0000/.default")


def test_token_is_replaced_shortly_before_it_expires(mocker: MockerFixture, no_tokens: None) -> None:
    clock = mocker.patch("kedja_cli.service.sign_in.time.time", return_value=0.0)
    credential = mocker.patch("azure.identity.DefaultAzureCredential").return_value.__enter__.return_value
    credential.get_token.side_effect = [AccessToken("first", 3600), AccessToken("second", 7200)]
    assert token("https://kedja.example") == "first"
    clock.return_value = 3299.0
    assert token("https://kedja.example") == "first"
    clock.return_value = 3301.0
    assert token("https://kedja.example") == "second"


def test_error_without_sign_in_says_what_to_do(mocker: MockerFixture, no_tokens: None) -> None:
    credential = mocker.patch("azure.identity.DefaultAzureCredential").return_value.__enter__.return_value
    credential.get_token.side_effect = ClientAuthenticationError("long words")
    with pytest.raises(CommandError, match="Nobody has signed in") as caught:
        token("https://kedja.example")
    assert caught.value.code is Exit.NOT_ALLOWED
    assert "az login" in str(caught.value.what_to_do)

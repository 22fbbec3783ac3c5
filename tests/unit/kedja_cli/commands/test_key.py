import json

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from pytest_mock import MockerFixture

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.memory import MemoryBlobs


@pytest.fixture
def stored(mocker: MockerFixture, blobs: MemoryBlobs) -> MemoryBlobs:
    """Put storage in memory behind the client of any account."""
    mocker.patch("kedja_cli.files.account_authorizer.connect")
    mocker.patch("function_app.azure.storage.AzureBlobs", return_value=blobs)
    return blobs


def test_key_is_shown_once_and_its_hash_is_kept(run: Run, stored: MemoryBlobs) -> None:
    made = run("keys", "create", "ci", "--role", "code")
    assert made.exit_code == 0, made.stderr
    text = made.stdout.strip()
    assert text.startswith("kedja_")
    assert "It is not shown again" in made.stderr
    listed = run("keys", "list").stdout
    assert listed.endswith("\tci\tcode\t*\tnever\n")
    assert text.rpartition("_")[2] not in listed


def test_key_is_limited_and_expires(run: Run, stored: MemoryBlobs) -> None:
    document = json.loads(run("keys", "create", "ci", "-e", "vision-*", "--days", "2", "--json").stdout)
    assert document["experiments"] == ["vision-*"]
    assert document["role"] == "data"
    assert document["expires"] > document["created"]
    assert "sha256" not in document


def test_key_is_revoked_once(run: Run, stored: MemoryBlobs) -> None:
    made = json.loads(run("keys", "create", "ci", "--json").stdout)
    assert run("keys", "revoke", made["id"]).stdout == f"{made['id']} is revoked\n"
    assert run("keys", "revoke", made["id"]).exit_code == Exit.NOT_FOUND
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_unknown_role_is_a_wrong_command_line(run: Run) -> None:
    assert run("keys", "create", "ci", "--role", "root").exit_code == Exit.USAGE


def test_account_is_required_unless_the_service_is_local(run: Run) -> None:
    result = run("keys", "list", "--url", "https://kedja.example")
    assert result.exit_code == Exit.USAGE
    assert "Give --storage" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ClientAuthenticationError("nobody"), Exit.FAILED),
        (HttpResponseError("no\nRequestId: 1", response=None), Exit.FAILED),
    ],
)
def test_error_of_the_account_is_reported(
    run: Run, mocker: MockerFixture, error: HttpResponseError, code: Exit
) -> None:
    mocker.patch("kedja_cli.files.account_authorizer.connect", side_effect=error)
    result = run("keys", "list", "--storage", "https://account.test")
    assert result.exit_code == code
    assert "RequestId" not in result.stderr


def test_invalid_account_is_a_usage_error(run: Run) -> None:
    result = run("keys", "list", "--storage", "nonsense")
    assert result.exit_code == Exit.USAGE
    assert "neither a connection string nor the URL" in result.stderr

from pathlib import Path

import pytest

from local_azure.credentials import ACCOUNT_KEY
from local_azure.storage.azurite import Azurite, AzuriteAccount, AzuriteError


def program(folder: Path, script: str) -> Path:
    path = folder / "azurite"
    path.write_text(script)
    return path


def listening(port: int) -> str:
    lines = (
        f"Azurite {name} service is successfully listening at http://127.0.0.1:{port + number}"
        for number, name in enumerate(("Blob", "Queue", "Table"))
    )
    return "".join(f"console.log('{line}');" for line in lines)


SLEEP = "setTimeout(() => {}, 60_000);"


def test_the_connection_string_is_what_clients_take() -> None:
    account = AzuriteAccount(blob_port=1, queue_port=2, table_port=3)
    assert account.connection_string == (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=" + ACCOUNT_KEY + ";"
        "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;QueueEndpoint=http://127.0.0.1:2/devstoreaccount1;"
        "TableEndpoint=http://127.0.0.1:3/devstoreaccount1;"
    )
    assert ACCOUNT_KEY not in repr(account)


def test_the_ports_are_those_that_it_prints(tmp_path: Path) -> None:
    azurite = Azurite(tmp_path / "data", program=program(tmp_path, listening(4000) + SLEEP))
    azurite.start()
    try:
        assert azurite.wait_until_healthy() == AzuriteAccount(blob_port=4000, queue_port=4001, table_port=4002)
        assert azurite.is_running
    finally:
        azurite.stop()
    assert not azurite.is_running
    azurite.stop()


def test_what_it_printed_is_told_where_it_ends_at_once(tmp_path: Path) -> None:
    azurite = Azurite(
        tmp_path / "data", program=program(tmp_path, "console.log('listen EADDRINUSE 10001'); process.exit(1);")
    )
    azurite.start()
    with pytest.raises(AzuriteError, match="EADDRINUSE 10001"):
        azurite.wait_until_healthy()


def test_one_that_never_listens_is_an_error(tmp_path: Path) -> None:
    azurite = Azurite(tmp_path / "data", program=program(tmp_path, SLEEP))
    azurite.start()
    try:
        with pytest.raises(AzuriteError, match="does not listen"):
            azurite.wait_until_healthy(timeout=0.2)
    finally:
        azurite.stop()


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    script = f"process.on('SIGTERM', () => {{}});{listening(4000)}{SLEEP}"
    azurite = Azurite(tmp_path / "data", program=program(tmp_path, script))
    azurite.start()
    azurite.wait_until_healthy()
    azurite.stop(timeout=0.2)
    assert not azurite.is_running


def test_a_missing_program_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(AzuriteError, match="npm ci"):
        Azurite(tmp_path, program=tmp_path / "absent").start()


def test_a_missing_node_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    azurite = Azurite(tmp_path / "data", program=program(tmp_path, SLEEP))
    with pytest.raises(AzuriteError, match=r"Install Node\.js"):
        azurite.start()

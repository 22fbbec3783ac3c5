"""The command before a service and a storage that are in memory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from pytest_mock import MockerFixture
from typer.testing import CliRunner, Result

from kedja_cli.main import app
from tests.unit.kedja_cli.fake_service import FakeService
from tests.unit.kedja_cli.fake_storage import FakeStorage

type Run = Callable[..., Result]


@pytest.fixture
def service(mocker: MockerFixture) -> FakeService:
    fake = FakeService()
    mocker.patch(
        "kedja_cli.service.api.httpx.Client", partial(httpx.Client, transport=httpx.MockTransport(fake.handle))
    )
    return fake


@pytest.fixture
def storage(mocker: MockerFixture) -> FakeStorage:
    fake = FakeStorage()
    mocker.patch("urllib3.PoolManager", return_value=fake)
    return fake


@pytest.fixture(autouse=True)
def naps(mocker: MockerFixture) -> list[float]:
    """Keep the command from sleeping; return how long it would have."""
    taken: list[float] = []
    mocker.patch("time.sleep", taken.append)
    return taken


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs the command as a shell does, in an empty folder and with a home of its own."""
    for name in ("KEDJA_URL", "KEDJA_KEY", "KEDJA_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("typer.get_app_dir", lambda _: str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words, **options: CliRunner().invoke(app, [str(word) for word in words], **options)

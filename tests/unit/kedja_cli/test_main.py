import json
import re
import subprocess
import sys

import pytest
from pytest_mock import MockerFixture

from kedja_cli.errors import Exit
from kedja_cli.main import app
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, problem


@pytest.mark.parametrize("words", [("jobs", "--nope"), ("nope",), ("compute", "create"), ("logs",)])
def test_usage_errors_are_json_with_json(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words, "--json")
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert json.loads(result.stderr)["exit_code"] == Exit.USAGE
    assert "Usage: " in run(*words).stderr


def test_exit_codes_are_the_same_with_json(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    assert run("jobs", "--json").exit_code == 0
    assert run("logs", "nothing", "--json").exit_code == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "url", ["localhost:7071", "kedja.example", "ftp://kedja.example", "http://:7071", "http://[x", "http://x:y"]
)
def test_url_without_its_scheme_is_a_wrong_command_line(run: Run, url: str) -> None:
    result = run("jobs", "--url", url)
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert f"{url!r}, which is not the address of a service.\nWrite it with its scheme" in result.stderr


def test_what_the_sign_in_logs_is_not_shown() -> None:
    words = "import logging, kedja_cli.main; logging.getLogger('azure.identity._credentials').warning('ten lines')"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_help_has_no_types_of_pythons(run: Run) -> None:
    groups = {"keys": ["create", "list", "revoke"], "compute": ["create", "list"]}
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    calls = [(), *((name,) for name in names if name != "up"), *((g, name) for g, of in groups.items() for name in of)]
    assert len(calls) > 20
    for words in calls:
        help_text = run(*words, "--help", env={"COLUMNS": "200"}).stdout
        assert "Usage: " in help_text
        assert re.findall(r"<(?:bool|str|int|float|path|list)\b", help_text) == [], words


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("kedja ")
    assert "Exit codes" in run("--help").stdout
    assert run("no-such-command").exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "name", ["drop", "status", "jobs", "logs", "submit", "metrics", "models", "download", "doctor", "init"]
)
def test_every_command_takes_the_common_options(run: Run, name: str) -> None:
    shown = run(name, "--help", env={"COLUMNS": "200"}).stdout
    assert all(option in shown for option in ("--url", "--key", "--json"))


def test_key_is_not_shown(run: Run, service: FakeService) -> None:
    service.routes["GET /api/jobs"] = problem(401, "The key is unknown, expired or revoked.")
    result = run("jobs", env={"KEDJA_KEY": "kedja_1_secret"})
    assert result.exit_code == Exit.NOT_ALLOWED
    assert service.requests[0].headers["X-Kedja-Key"] == "kedja_1_secret"
    assert "secret" not in result.output
    assert "secret" not in run("jobs", "--help", env={"KEDJA_KEY": "kedja_1_secret"}).output


def test_pipe_that_is_closed_is_no_error(run: Run, service: FakeService, mocker: MockerFixture) -> None:
    service.routes["GET /api/jobs"] = {"items": [], "next": None}
    mocker.patch("kedja_cli.output.Output.json", side_effect=BrokenPipeError)
    silenced = mocker.patch("kedja_cli.session._silence_stdout")
    assert run("jobs", "--json").exit_code == 0
    silenced.assert_called_once_with()


def test_help_loads_no_clients() -> None:
    heavy = {"httpx", "azure", "urllib3", "pydantic", "yaml", "fastapi"}
    code = f"import sys, kedja_cli.main; print(sorted({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

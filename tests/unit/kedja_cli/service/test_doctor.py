import json
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define, field
from pytest_mock import MockerFixture

from kedja_cli.errors import CommandError, Exit
from kedja_cli.service import doctor
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, problem

NOW = 1_772_366_400.0
PRINTED = {
    "node": "v22.1.0\n",
    "azurite": "3.35.0\n",
    "python": "Chainer 7.8.1, NumPy 2.4.0, MLflow 3.17\n",
    "nvidia-smi": "NVIDIA H100, 570.1, 81559 MiB\n",
}


@define
class Machine:
    """What is installed on a machine, and who listens there."""

    printed: dict[str, str] = field(factory=lambda: dict(PRINTED))
    ports: set[int] = field(factory=lambda: {10000, 7071})

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        name = Path(command[0]).name
        if name not in self.printed:
            raise FileNotFoundError(name)
        return subprocess.CompletedProcess(command, 0, self.printed[name])


@pytest.fixture
def machine(mocker: MockerFixture, service: FakeService) -> Machine:
    machine = Machine()
    mocker.patch("subprocess.run", machine.run)
    mocker.patch("kedja_cli.service.doctor._is_listening", lambda port: port in machine.ports)
    mocker.patch("time.time", return_value=NOW)
    health: dict[str, Any] = {"status": "ok", "kedja": "0.1.0", "python": "3.13.0"}
    service.routes["GET /api/health"] = httpx.Response(200, json=health, headers={"date": formatdate(NOW)})
    service.routes["GET /api/checks"] = {**health, "checks": {"storage": {"state": "ok", "milliseconds": 6.1}}}
    return machine


def found(run: Run, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result = run("doctor", "--json", *words)
    return result.exit_code, {one["name"]: one for one in json.loads(result.stdout)}


def test_complete_machine_passes_every_check(run: Run, machine: Machine) -> None:
    code, findings = found(run)
    assert code == 0
    assert {one["state"] for one in findings.values()} == {"ok"}
    assert findings["gpu"]["found"] == "NVIDIA H100, 570.1, 81559 MiB"
    assert findings["ports"]["found"] == "in use by the stack: blob 10000, functions 7071"
    assert findings["clocks"]["found"] == "agree"


def test_command_that_was_installed_without_the_local_stack_does_not_look_for_it(
    run: Run, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_ROOT", tmp_path)
    machine.printed.clear()
    code, findings = found(run)
    assert (code, list(findings)) == (0, ["python", "packages", "service", "clocks", "service: storage"])


@pytest.mark.parametrize(
    ("name", "printed", "check", "fix"),
    [
        ("node", None, "node", "Install Node.js 20 or newer."),
        ("node", "v18.0.0\n", "node", "Install Node.js 20 or newer."),
        ("azurite", None, "azurite", "Run make setup."),
        ("python", None, "job environment", "Run make setup."),
    ],
)
def test_missing_program_is_reported_with_its_fix(
    run: Run, machine: Machine, name: str, printed: str | None, check: str, fix: str
) -> None:
    machine.printed |= {name: printed or ""}
    code, findings = found(run)
    assert code == Exit.FAILED
    assert (findings[check]["state"], findings[check]["fix"]) == ("failed", fix)


def test_machine_without_a_gpu_passes(run: Run, machine: Machine) -> None:
    del machine.printed["nvidia-smi"]
    code, findings = found(run)
    assert (code, findings["gpu"]["state"]) == (0, "ok")
    assert findings["gpu"]["found"].startswith("none:")


def test_ports_used_by_other_programs_are_a_failure(run: Run, machine: Machine, service: FakeService) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    machine.ports = {10000}
    service.routes["GET /api/health"] = refuse
    code, findings = found(run)
    assert code == Exit.FAILED
    assert findings["ports"]["found"] == "in use, and not by Kedja: blob 10000"
    assert findings["service"]["fix"] == "Is it running? Start it with `kedja up`."


def test_package_of_another_version_is_named(run: Run, machine: Machine, mocker: MockerFixture) -> None:
    mocker.patch("importlib.metadata.version", lambda name: "0.0.1" if name == "httpx" else "999")
    _, findings = found(run)
    assert findings["httpx"]["found"].startswith("0.0.1; >=")
    assert findings["httpx"]["fix"] == "Run make setup."


def test_folder_that_cannot_be_written_and_a_full_disk(run: Run, machine: Machine, mocker: MockerFixture) -> None:
    mocker.patch("os.access", return_value=False)
    mocker.patch("shutil.disk_usage").return_value.free = 1 << 30
    code, findings = found(run)
    assert code == Exit.FAILED
    assert findings["permissions"]["state"] == "failed"
    assert (findings["disk"]["state"], findings["disk"]["found"]) == ("warning", "1.0 GiB free")


@pytest.mark.parametrize(
    ("seconds", "words"), [(300, "300 s behind the service's"), (-300, "300 s ahead of the service's")]
)
def test_wrong_clock_is_reported(run: Run, machine: Machine, mocker: MockerFixture, seconds: float, words: str) -> None:
    mocker.patch("time.time", return_value=NOW - seconds)
    code, findings = found(run)
    assert code == Exit.FAILED
    assert findings["clocks"]["found"] == words


def test_part_that_does_not_work_is_named(run: Run, machine: Machine, service: FakeService) -> None:
    checks = {"storage": {"state": "failed", "milliseconds": 1.0, "error": "no role"}}
    bad = httpx.Response(503, json={"kedja": "0.1.0", "python": "3.13.0", "checks": checks})
    service.routes["GET /api/checks"] = bad
    code, findings = found(run)
    assert code == Exit.FAILED
    assert (findings["service: storage"]["state"], findings["service: storage"]["found"]) == ("failed", "no role")


def test_service_elsewhere_is_asked_without_looking_for_the_local_stack(
    run: Run, machine: Machine, mocker: MockerFixture, service: FakeService
) -> None:
    refused = CommandError("Nobody has signed in.", "Run `az login`.", code=Exit.NOT_ALLOWED)
    mocker.patch("kedja_cli.service.sign_in.token", side_effect=refused)
    code, findings = found(run, "--url", "https://kedja.example", "--key", "kedja_1_x")
    assert code == 0
    assert "node" not in findings
    service.routes["GET /api/checks"] = problem(403, "No role.", "Get one.")
    code, findings = found(run, "--url", "https://kedja.example", "--key", "kedja_1_x")
    assert (code, findings["access"]["state"]) == (0, "warning")


def test_nobody_signed_in_is_found(run: Run, machine: Machine, mocker: MockerFixture) -> None:
    refused = CommandError("Nobody has signed in.", "Run `az login`.", code=Exit.NOT_ALLOWED)
    mocker.patch("kedja_cli.service.sign_in.token", side_effect=refused)
    mocker.patch("kedja_cli.service.api.token", side_effect=refused)
    code, findings = found(run, "--url", "https://kedja.example")
    assert code == Exit.FAILED
    assert findings["identity"]["fix"] == "Run `az login`."


def test_program_that_hangs_counts_as_missing(mocker: MockerFixture) -> None:
    mocker.patch("subprocess.run", side_effect=subprocess.TimeoutExpired("node", 20))
    assert doctor._first_line_of("node", "--version") is None


def test_people_get_a_table_and_the_fixes(run: Run, machine: Machine) -> None:
    machine.printed["node"] = ""
    result = run("doctor")
    assert "node\tfailed\tnot installed" in result.stdout
    assert "node: Install Node.js 20 or newer." in result.stderr

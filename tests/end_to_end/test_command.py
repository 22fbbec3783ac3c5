"""`kedja` as a person at a shell uses it, before the whole stack."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_azure.stack.supervisor import ROOT
from tests.end_to_end.world import World

type Kedja = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kedja(world: World, tmp_path: Path) -> Kedja:
    """Return what runs the command in an empty folder, with a home of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEDJA_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "KEDJA_URL": world.stack.functions_url,
        "XDG_CONFIG_HOME": str(tmp_path / "home"),
        "NO_COLOR": "1",
    }

    def run(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kedja_cli", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=False
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    return run


def told(done: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - JSON
    return json.loads(done.stdout)


def test_an_experiment_from_its_first_file_to_its_model(kedja: Kedja, world: World, tmp_path: Path) -> None:
    kedja("init", "rings")
    kedja("init", "rings", code=1)
    kedja("validate", "rings/scripts/job.yaml", "--experiment", "rings")

    drop = ("drop", "rings")
    done = kedja(*drop, "--wait")
    assert "3 files sent" in done.stderr
    assert "registered as rings:1" in done.stderr

    again = told(kedja(*drop, "--wait", "--json"))
    assert (again["sent"], again["unchanged"], again["receipt"]["status"]) == (0, 3, "registered")

    receipt = told(kedja("status", "rings", "--json"))
    assert all(file["md5"] for file in (*receipt["received"]["data_files"], *receipt["received"]["script_files"]))
    assert "rings:1 (champion)" in kedja("status", "rings").stdout
    (job,) = told(kedja("jobs", "--experiment", "rings", "--json"))
    assert job["model"] == "rings:1"

    log = kedja("logs", "rings").stdout
    assert "validation/main/accuracy" in log
    assert kedja("logs", job["job"], "--follow").stdout == log
    last = "".join(log.splitlines(keepends=True)[-2:])
    assert kedja("logs", "rings", "--tail", "2").stdout == kedja("logs", "rings", "-n", "2", "--follow").stdout == last
    assert kedja("logs", "rings", "--tail", "0", "--follow").stdout == ""
    assert "validation/main/accuracy" in kedja("metrics", "rings").stdout
    dry_run = told(kedja("submit", "rings", "--dry-run", "--json"))
    assert (dry_run["drop"], dry_run["existing"]["name"]) == (receipt["drop"], job["job"])
    assert told(kedja("submit", "rings", "--json"))["name"] == job["job"]
    assert kedja("compute", "list").stdout

    assert kedja("models", "rings").stdout.startswith("rings:1\tchampion\t")
    assert kedja("download", "rings@champion").stdout == "rings-1\n"
    assert (tmp_path / "rings-1" / "model.npz").read_bytes() == world.read("models", "rings/1/model.npz")
    assert told(kedja("download", "rings:1", "--json"))["fetched"] == 0

    events = [json.loads(line) for line in kedja("events", "--experiment", "rings", "--json").stdout.splitlines()]
    assert [event["type"] for event in events] == ["Kedja.JobSubmitted", "Kedja.JobCompleted", "Kedja.ModelRegistered"]


def test_a_drop_straight_into_the_account_in_blocks(kedja: Kedja, world: World, tmp_path: Path) -> None:
    content = os.urandom(20 << 20)
    (tmp_path / "large.bin").write_bytes(content)
    account = world.stack.account.connection_string
    done = told(kedja("drop", "large.bin", "--experiment", "straight", "--storage", account, "--json"))
    assert (done["sent"], done["bytes"], done["failed"]) == (1, len(content), [])
    assert world.read("data", "straight/large.bin") == content
    again = told(kedja("drop", "large.bin", "--experiment", "straight", "--storage", account, "--json"))
    assert (again["sent"], again["unchanged"]) == (0, 1)


def test_a_drop_that_brings_no_model_exits_5_with_the_reason(kedja: Kedja, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('no such column: label')\n")
    (tmp_path / "job.yaml").write_text("kedja: {entry_script: train.py, data: none}\n")
    drop = ("drop", "train.py", "job.yaml", "-e", "no-model", "--wait")
    done = kedja(*drop, code=5)
    assert "error: no-model is failed" in done.stderr
    assert "no such column: label" in kedja("status", "no-model").stdout

    again = kedja(*drop, code=5)
    assert "0 files sent" in again.stderr
    assert "of the same files is failed: retried as no-model-" in again.stderr
    (tmp_path / "train.py").write_text("print('good now')\n")
    kedja(*drop, "--timeout", "0", code=6)
    assert told(kedja(*drop, "--json", code=5))["receipt"]["status"] == "not_registered"  # it made no file


def test_keys_are_made_listed_and_revoked_in_storage(kedja: Kedja, world: World) -> None:
    storage = ("--storage", world.stack.account.connection_string)
    made = told(kedja("keys", "create", "ci", "--role", "data", "-e", "vision-*", "--days", "30", "--json", *storage))
    assert made["key"].startswith(f"kedja_{made['id']}_")
    listed = kedja("keys", "list", "--json", *storage).stdout
    assert made["id"] in listed
    assert made["key"].rpartition("_")[2] not in listed
    kedja("keys", "revoke", made["id"], *storage)
    kedja("keys", "revoke", made["id"], *storage, code=3)


def test_doctor_finds_the_stack_well(kedja: Kedja) -> None:
    found = {one["name"]: one["state"] for one in told(kedja("doctor", "--json"))}
    assert {"python", "packages", "node", "azurite", "job environment", "service", "service: storage"} <= found.keys()
    assert set(found.values()) == {"ok"}


def test_what_is_not_there_exits_3(kedja: Kedja) -> None:
    assert "There is no model" in kedja("models", "nothing-of-this-name", code=3).stderr
    assert kedja("status", "nothing-of-this-name", "--json", code=3).stdout == ""

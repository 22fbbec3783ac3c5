import json

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, problem

LATEST = "GET /api/drops/digits/latest"
REGISTERED = {
    "experiment": "digits",
    "folder": "digits",
    "drop": "3945c53d" * 8,
    "status": "registered",
    "received_at": "2026-03-02T12:00:03Z",
    "received": {"data": 1, "scripts": 2, "size": 2048},
    "history": [{"status": "registered", "at": "2026-03-02T12:00:03Z"}],
    "model": {"model": "digits", "version": "1", "champion": True},
    "attempts": [{"job": "digits-3945c53d3945c53d-1", "metrics": {"accuracy": 0.97}, "log_tail": ["epoch 1"]}],
}


def test_status_shows_a_drop(run: Run, service: FakeService) -> None:
    service.routes[LATEST] = REGISTERED
    result = run("status", "digits")
    assert result.exit_code == 0, result.stderr
    assert "model       digits:1 (champion)" in result.stdout
    assert "metrics     accuracy 0.97" in result.stdout
    assert "1 data file and 2 scripts, 2.0 KiB" in result.stdout
    assert "epoch 1" in result.stdout


def test_status_shows_a_jobs_notes_in_order(run: Run, service: FakeService) -> None:
    service.routes[LATEST] = {**REGISTERED, "notes": ["scipy 1.2 became 1.16.", "The model is outputs/\x1b[31mx."]}
    lines = run("status", "digits").stdout.splitlines()
    start = lines.index("notes")
    assert lines[start + 1 : start + 3] == ["scipy 1.2 became 1.16.", "The model is outputs/x."]


def test_status_of_nothing_exits_3(run: Run, service: FakeService) -> None:
    service.routes[LATEST] = problem(404, "There is no receipt digits/latest.", "Drop something.")
    result = run("status", "digits", "--json")
    assert result.exit_code == Exit.NOT_FOUND
    assert json.loads(result.stderr) == {
        "error": "There is no receipt digits/latest.",
        "details": [],
        "what_to_do": "Drop something.",
        "exit_code": 3,
    }


def test_status_without_experiment_lists_all_of_them_in_pages(run: Run, service: FakeService) -> None:
    one = {
        "experiment": "digits",
        "folder": "digits",
        "drop": "3945c53d" * 8,
        "status": "running",
        "received_at": None,
        "job": None,
        "model": None,
    }
    service.routes["GET /api/experiments"] = [
        {"items": [one], "next": "more"},
        {"items": [{**one, "folder": "letters"}], "next": None},
    ]
    result = run("status", "--limit", "2")
    assert [one.url.params["limit"] for one in service.requests] == ["2", "1"]
    assert result.stdout.splitlines() == [
        "digits\trunning\t3945c53d3945c53d\t\t\t",
        "letters\trunning\t3945c53d3945c53d\t\t\t",
    ]
    assert service.requests[1].url.params["after"] == "more"


PLAN = {
    "state": "planned",
    "deletes": {"receipts": 3, "snapshot_files": 4, "snapshot_size": 2048, "models": []},
    "keeps": [{"model": "digits", "version": "1"}],
    "jobs": [],
}


def test_delete_shows_what_would_be_deleted(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    result = run("delete", "digits", "--dry-run")
    assert "receipts   3" in " ".join(result.stdout.split("\n"))[:40]
    assert "kept       digits:1" in result.stdout
    assert [one.url.params.get("dry_run") for one in service.requests] == ["true"]


def test_delete_without_a_terminal_needs_yes(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    assert run("delete", "digits").exit_code == Exit.USAGE
    assert run("delete", "digits", "--yes").exit_code == 0
    assert [one.url.params.get("dry_run") for one in service.requests] == ["true", None]


def test_delete_cancels_jobs_with_force(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    assert run("delete", "digits", "--yes", "--force").exit_code == 0
    assert run("delete", "digits", "--yes").exit_code == 0
    assert [one.url.params.get("force") for one in service.requests] == ["true", None]

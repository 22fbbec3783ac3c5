import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from function_app import names
from kedja_cli.errors import Exit
from kedja_cli.files.local_file import SCRIPT, sort
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, problem
from tests.unit.kedja_cli.fake_storage import FakeStorage, md5

ROOT = Path(__file__).parents[4]
UPLOADS = "POST /api/experiments/digits/uploads"
LATEST = "GET /api/drops/digits/latest"
JOB = "digits-3945c53d3945c53d-1"
RETRY = f"POST /api/jobs/{JOB}/retry"


def links(request: httpx.Request) -> httpx.Response:
    files = json.loads(request.content)["files"]
    items = [
        {
            "container": file["container"],
            "name": file["name"],
            "url": f"http://storage.test/{file['container']}/digits/{file['name']}?sig=x",
            "method": "PUT",
            "headers": {"x-ms-blob-type": "BlockBlob", "If-None-Match": "*"},
            "blocks": False,
            "expires_at": None,
            "there": None,
        }
        for file in files
    ]
    return httpx.Response(200, json={"items": items})


def there(request: httpx.Request) -> httpx.Response:
    """Answer that every file is there already, since noon."""
    items = [
        {
            "url": None,
            "headers": {},
            "blocks": False,
            "there": {"size": 4, "md5": "x", "modified": "2026-03-02T12:00:00Z"},
        }
        for _ in json.loads(request.content)["files"]
    ]
    return httpx.Response(200, json={"items": items})


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("Connection refused", request=request)


def receipt(status: str, **more: object) -> dict[str, Any]:
    return {
        "experiment": "digits",
        "folder": "digits",
        "drop": "3945c53d" * 8,
        "status": status,
        "newest_upload": "2026-03-02T12:00:00Z",
        "received_at": "2026-03-02T12:00:03Z",
        "received": {"data": 1, "scripts": 2, "size": 2048},
        "history": [{"status": status, "at": "2026-03-02T12:00:03Z"}],
        **more,
    }


MODEL = {"model": "digits", "version": "1", "champion": True}
REGISTERED = receipt(
    "registered",
    model=MODEL,
    attempts=[{"job": JOB, "metrics": {"accuracy": 0.97}, "log_tail": ["epoch 1"]}],
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x\n1\n")
    (tmp_path / "train.py").write_text("print()\n")
    return tmp_path


def test_a_folder_with_data_and_scripts_is_an_experiment_of_its_name(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    whole = files / "digits"
    whole.mkdir()
    (files / "data").rename(whole / "data")
    (whole / "scripts").mkdir()
    (files / "train.py").rename(whole / "scripts" / "train.py")
    result = run("drop", "digits")
    assert result.exit_code == 0, result.stderr
    assert sorted(storage.blobs) == ["/data/digits/a.csv", "/scripts/digits/train.py"]


def test_a_flat_folder_is_sorted_as_the_page_sorts_it(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    flat = files / "digits"
    (flat / "lib").mkdir(parents=True)
    for name in ("train.py", "lib/net.PY", "job.yaml", "requirements-gpu.txt", "notes.txt", "a.npz", "my.data"):
        (flat / name).write_text("{}")
    assert run("drop", "digits").exit_code == 0
    scripts = ["job.yaml", "lib/net.PY", "requirements-gpu.txt", "train.py"]
    assert sorted(storage.blobs) == sorted(
        [
            *(f"/scripts/digits/{name}" for name in scripts),
            *(f"/data/digits/{n}" for n in ("a.npz", "my.data", "notes.txt")),
        ]
    )


def test_several_paths_keep_their_folders_and_an_experiments_own_are_told_apart(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    (files / "images").mkdir()
    (files / "images" / "a.png").write_text("")
    assert run("drop", "data", "images", "train.py", "-e", "digits").exit_code == 0
    assert sorted(storage.blobs) == ["/data/digits/a.csv", "/data/digits/images/a.png", "/scripts/digits/train.py"]


def test_page_and_command_take_the_same_files_for_scripts() -> None:
    page = (ROOT / "function_app" / "web" / "folder.js").read_text()
    (pattern,) = re.findall(r"const SCRIPT = /(.+)/i;", page)
    assert pattern.replace(r"\/", "/") == SCRIPT.pattern
    assert SCRIPT.flags & re.IGNORECASE


@pytest.mark.parametrize("above", ["", "digits/"])
@pytest.mark.parametrize("pattern", names.IGNORED)
def test_the_page_leaves_out_what_the_service_ignores(pattern: str, above: str) -> None:
    page = (ROOT / "function_app" / "web" / "folder.js").read_text()
    (found,) = re.findall(r"const IGNORED = /(.+)/;", page)
    leaves_out = re.compile(found.replace(r"\/", "/"))
    name = pattern.replace("*", "a")
    assert leaves_out.search(f"{above}{name}")
    assert leaves_out.search(f"{above}{name}/b.csv")
    assert not leaves_out.search(f"{above}b{name}b.csv")


def test_the_example_is_an_experiment(run: Run) -> None:
    found = sort([ROOT / "examples" / "digits"])
    scripts = {file.name for file in found.files if file.container == "scripts"}
    assert scripts == {"train.py", "network.py", "job.yaml"}
    assert run("validate", ROOT / "examples/digits/scripts/job.yaml", "-e", "digits").exit_code == 0


def test_files_without_an_experiment_are_refused(run: Run, files: Path) -> None:
    result = run("drop", "train.py")
    assert result.exit_code == Exit.USAGE
    assert "Name it with --experiment." in result.stderr


def test_drop_asks_for_links_and_writes_there(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    result = run("drop", "data", "--script", "train.py", "-e", "digits")
    assert result.exit_code == 0, result.stderr
    assert storage.blobs == {"/data/digits/a.csv": b"x\n1\n", "/scripts/digits/train.py": b"print()\n"}
    assert service.sent(UPLOADS) == [
        {
            "files": [
                {"container": "data", "name": "a.csv", "size": 4, "md5": md5(b"x\n1\n")},
                {"container": "scripts", "name": "train.py", "size": 8, "md5": md5(b"print()\n")},
            ]
        }
    ]
    assert "2 files sent, 12 B in" in result.stderr
    assert "follow it: kedja status digits" in result.stderr


def test_drop_waits_for_the_model(run: Run, files: Path, service: FakeService, storage: FakeStorage) -> None:
    older = receipt("registered", newest_upload="2026-03-01T12:00:00Z")
    service.routes |= {
        UPLOADS: links,
        LATEST: [problem(404, "none"), older, httpx.Response(304), receipt("running"), REGISTERED],
    }
    result = run("drop", "data", "-e", "digits", "--wait", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["sent"], told["unchanged"], told["receipt"]["model"]) == (1, 0, MODEL)
    assert result.stderr == ""


@pytest.mark.parametrize("status", ["rejected", "failed", "not_registered", "canceled", "superseded"])
def test_drop_that_brings_no_model_exits_5_and_says_why(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, status: str
) -> None:
    ended = receipt(status, reason="there is no script", what_to_do="Drop train.py.")
    service.routes |= {UPLOADS: links, LATEST: ended}
    result = run("drop", "data", "-e", "digits", "--wait")
    assert result.exit_code == Exit.UNSUCCESSFUL
    assert f"error: digits is {status.replace('_', ' ')}: there is no script\nDrop train.py." in result.stderr


def test_drop_waits_no_longer_than_it_is_told(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes |= {UPLOADS: links, LATEST: receipt("running")}
    result = run("drop", "data", "-e", "digits", "--wait", "--timeout", "0")
    assert result.exit_code == Exit.TIMED_OUT
    assert "digits is running after 0 s." in result.stderr


def test_timeout_alone_means_to_wait(run: Run, files: Path, service: FakeService, storage: FakeStorage) -> None:
    service.routes |= {UPLOADS: links, LATEST: REGISTERED}
    result = run("drop", "data", "-e", "digits", "--timeout", "60")
    assert result.exit_code == 0, result.stderr
    assert "1 file sent, 4 B in" in result.stderr
    assert "registered as digits:1" in result.stderr


def test_files_that_are_there_wait_for_the_drop_that_they_are_in(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    older = receipt("failed", newest_upload="2026-03-02T11:59:59Z", attempts=[{"job": JOB}])
    service.routes |= {UPLOADS: there, LATEST: [older, older, older, REGISTERED]}
    result = run("drop", "data", "-e", "digits", "--wait", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["sent"], told["unchanged"], told["receipt"]["model"]) == (0, 1, MODEL)
    assert service.sent(RETRY) == []


@pytest.mark.parametrize("status", ["failed", "canceled", "superseded"])
def test_files_that_are_there_are_tried_again_where_they_brought_no_model(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, status: str
) -> None:
    ended = receipt(status, attempts=[{"job": JOB}])
    again = {"name": "digits-3945c53d3945c53d-2", "status": "submitted"}
    service.routes |= {UPLOADS: there, LATEST: [ended, receipt("running"), REGISTERED], RETRY: again}
    result = run("drop", "data", "-e", "digits", "--wait")
    assert result.exit_code == 0, result.stderr
    assert f"{JOB} of the same files is {status}: retried as digits-3945c53d3945c53d-2\n" in result.stderr
    assert result.stderr.count("drop 3945c53d3945c53d\n") == 1
    assert len(service.sent(RETRY)) == 1


def test_files_that_are_there_are_tried_again_without_waiting(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    ended = receipt("failed", attempts=[{"job": JOB}])
    service.routes |= {UPLOADS: there, LATEST: ended, RETRY: {"name": "again", "status": "submitted"}}
    assert json.loads(run("drop", "data", "-e", "digits", "--json").stdout)["retried"] == "again"


@pytest.mark.parametrize("status", ["registered", "not_registered", "rejected", "running"])
def test_files_that_are_there_are_not_tried_again_where_that_would_change_nothing(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, status: str
) -> None:
    service.routes |= {UPLOADS: there, LATEST: receipt(status, attempts=[{"job": JOB}])}
    assert run("drop", "data", "-e", "digits").exit_code == 0
    assert service.sent(RETRY) == []


def test_new_files_are_tried_by_the_service_itself(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes |= {UPLOADS: links, LATEST: receipt("failed", attempts=[{"job": JOB}])}
    assert run("drop", "data", "-e", "digits", "--wait").exit_code == Exit.UNSUCCESSFUL
    assert service.sent(RETRY) == []


def test_waiting_outlasts_a_restart_of_the_service(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, naps: list[float]
) -> None:
    service.routes |= {UPLOADS: links, LATEST: [receipt("running"), refused, refused, refused, REGISTERED]}
    result = run("drop", "data", "-e", "digits", "--wait")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("Connection refused. Asking again until it answers.") == 1
    assert naps == [1.0, 2.0, 4.0]


def test_waiting_ends_in_time_where_the_service_does_not_come_back(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes |= {UPLOADS: links, LATEST: refused}
    result = run("drop", "data", "-e", "digits", "--timeout", "0")
    assert result.exit_code == Exit.TIMED_OUT
    assert "digits is not taken yet after 0 s." in result.stderr


def test_drop_writes_the_file_that_completes_it_last(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    (files / "data" / "_SUCCESS").write_text("")
    (files / "job.yaml").write_text("kedja:\n  drop: {wait_for: _SUCCESS}\n")
    service.routes[UPLOADS] = links
    result = run("drop", "data", "-s", "job.yaml", "-e", "digits")
    assert result.exit_code == 0, result.stderr
    assert storage.requests[-1][1].startswith("http://storage.test/data/digits/_SUCCESS")


def test_drop_sends_nothing_where_job_yaml_would_be_rejected(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    (files / "job.yaml").write_text("kedja:\n  data: maybe\n")
    result = run("drop", "data", "-s", "job.yaml", "-e", "digits")
    assert result.exit_code == Exit.FAILED
    assert "job.yaml:2:3: kedja.data: " in result.stderr
    assert storage.requests == []
    assert service.requests == []


def test_drop_names_the_files_that_are_not_there(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    storage.faults = [400]
    result = run("drop", "data", "-e", "digits", "--wait", "--json")
    assert result.exit_code == Exit.FAILED
    assert json.loads(result.stdout)["failed"][0]["file"] == "data/a.csv"
    assert json.loads(result.stderr)["error"] == "1 of 1 file could not be sent."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "There is nothing to drop."),
        (("nothing.csv",), "There is no file or folder nothing.csv."),
        (("empty",), "There are no files to drop in what was given."),
    ],
)
def test_drop_without_files_is_a_wrong_command_line(run: Run, files: Path, words: tuple[str, ...], said: str) -> None:
    (files / "empty").mkdir()
    result = run("drop", *words, "-e", "digits")
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


def test_drop_of_scripts_without_the_role_exits_4(run: Run, files: Path, service: FakeService) -> None:
    service.routes[UPLOADS] = problem(403, "This takes the role `code`.")
    result = run("drop", "-s", "train.py", "-e", "digits")
    assert result.exit_code == Exit.NOT_ALLOWED
    assert "error: This takes the role `code`." in result.stderr


def test_status_tells_of_a_drop(run: Run, service: FakeService) -> None:
    service.routes[LATEST] = REGISTERED
    result = run("status", "digits")
    assert result.exit_code == 0, result.stderr
    assert "model       digits:1 (champion)" in result.stdout
    assert "metrics     accuracy 0.97" in result.stdout
    assert "1 data file and 2 scripts, 2.0 KiB" in result.stdout
    assert "epoch 1" in result.stdout


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


def test_delete_says_what_would_go(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    result = run("delete", "digits", "--dry-run")
    assert "receipts   3" in " ".join(result.stdout.split("\n"))[:40]
    assert "kept       digits:1" in result.stdout
    assert [one.url.params.get("dry_run") for one in service.requests] == ["true"]


def test_delete_without_anyone_to_ask_wants_yes(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    assert run("delete", "digits").exit_code == Exit.USAGE
    assert run("delete", "digits", "--yes").exit_code == 0
    assert [one.url.params.get("dry_run") for one in service.requests] == ["true", None]


def test_delete_cancels_jobs_where_it_is_forced(run: Run, service: FakeService) -> None:
    service.routes["DELETE /api/experiments/digits"] = PLAN
    assert run("delete", "digits", "--yes", "--force").exit_code == 0
    assert run("delete", "digits", "--yes").exit_code == 0
    assert [one.url.params.get("force") for one in service.requests] == ["true", None]

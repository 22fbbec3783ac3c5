import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kedja_cli.errors import Exit
from kedja_cli.files.local_file import classify
from kedja_cli.service.follow_drop import describe_stage
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


def test_several_paths_keep_their_folders_except_data_and_scripts(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes[UPLOADS] = links
    (files / "images").mkdir()
    (files / "images" / "a.png").write_text("")
    assert run("drop", "data", "images", "train.py", "-e", "digits").exit_code == 0
    assert sorted(storage.blobs) == ["/data/digits/a.csv", "/data/digits/images/a.png", "/scripts/digits/train.py"]


def test_the_example_is_an_experiment(run: Run) -> None:
    found = classify([ROOT / "examples" / "digits"])
    scripts = {file.name for file in found.files if file.container == "scripts"}
    assert scripts == {"train.py", "network.py", "job.yaml"}
    assert run("validate", ROOT / "examples/digits/scripts/job.yaml", "-e", "digits").exit_code == 0


def test_files_without_an_experiment_are_refused(run: Run, files: Path) -> None:
    result = run("drop", "train.py")
    assert result.exit_code == Exit.USAGE
    assert "Give it with --experiment." in result.stderr


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
    document = json.loads(result.stdout)
    assert (document["sent"], document["unchanged"], document["receipt"]["model"]) == (1, 0, MODEL)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("waiting_for", "said"),
    [
        ("files", "waiting for files: because"),
        ("compute", "waiting for a compute: because"),
        ("approval", "waiting for approval: because"),
        ("training-service", "waiting for the training service: because"),
        ("something new", "waiting: because"),
        (None, "waiting: because"),
    ],
)
def test_drop_says_what_it_waits_for_by_the_field_and_not_by_the_reason(waiting_for: str | None, said: str) -> None:
    assert describe_stage({"status": "waiting", "reason": "because", "waiting_for": waiting_for}) == said


@pytest.mark.parametrize("status", ["rejected", "failed", "not_registered", "canceled", "superseded"])
def test_drop_without_a_model_exits_5_with_the_reason(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, status: str
) -> None:
    ended = receipt(status, reason="there is no script", what_to_do="Drop train.py.")
    service.routes |= {UPLOADS: links, LATEST: ended}
    result = run("drop", "data", "-e", "digits", "--wait")
    assert result.exit_code == Exit.UNSUCCESSFUL
    assert f"error: digits is {status.replace('_', ' ')}: there is no script\nDrop train.py." in result.stderr


def test_drop_waits_no_longer_than_its_timeout(
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


def test_existing_files_wait_for_the_drop_that_they_are_in(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    older = receipt("failed", newest_upload="2026-03-02T11:59:59Z", attempts=[{"job": JOB}])
    service.routes |= {UPLOADS: there, LATEST: [older, older, older, REGISTERED]}
    result = run("drop", "data", "-e", "digits", "--wait", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert (document["sent"], document["unchanged"], document["receipt"]["model"]) == (0, 1, MODEL)
    assert service.sent(RETRY) == []


@pytest.mark.parametrize("status", ["failed", "canceled", "superseded"])
def test_job_of_existing_files_is_retried_if_it_ended_early(
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


def test_job_of_existing_files_is_retried_without_waiting(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    ended = receipt("failed", attempts=[{"job": JOB}])
    service.routes |= {UPLOADS: there, LATEST: ended, RETRY: {"name": "again", "status": "submitted"}}
    assert json.loads(run("drop", "data", "-e", "digits", "--json").stdout)["retried"] == "again"


@pytest.mark.parametrize("status", ["registered", "not_registered", "rejected", "running"])
def test_job_of_existing_files_is_not_retried_in_other_states(
    run: Run, files: Path, service: FakeService, storage: FakeStorage, status: str
) -> None:
    service.routes |= {UPLOADS: there, LATEST: receipt(status, attempts=[{"job": JOB}])}
    assert run("drop", "data", "-e", "digits").exit_code == 0
    assert service.sent(RETRY) == []


def test_job_of_new_files_is_left_to_the_service(
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
    assert result.stderr.count("Connection refused. Trying again until it answers.") == 1
    assert naps == [1.0, 2.0, 4.0]


def test_timeout_holds_while_the_service_is_away(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    service.routes |= {UPLOADS: links, LATEST: refused}
    result = run("drop", "data", "-e", "digits", "--timeout", "0")
    assert result.exit_code == Exit.TIMED_OUT
    assert "digits is not processed yet after 0 s." in result.stderr


def test_drop_writes_the_file_that_completes_it_last(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    (files / "data" / "_SUCCESS").write_text("")
    (files / "job.yaml").write_text("kedja:\n  drop: {wait_for: _SUCCESS}\n")
    service.routes[UPLOADS] = links
    result = run("drop", "data", "-s", "job.yaml", "-e", "digits")
    assert result.exit_code == 0, result.stderr
    assert storage.requests[-1][1].startswith("http://storage.test/data/digits/_SUCCESS")


def test_drop_sends_nothing_if_job_yaml_would_be_rejected(
    run: Run, files: Path, service: FakeService, storage: FakeStorage
) -> None:
    (files / "job.yaml").write_text("kedja:\n  data: maybe\n")
    result = run("drop", "data", "-s", "job.yaml", "-e", "digits")
    assert result.exit_code == Exit.FAILED
    assert "job.yaml:2:3: kedja.data: " in result.stderr
    assert storage.requests == []
    assert service.requests == []


def test_drop_names_the_files_that_could_not_be_sent(
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
        (("empty",), "There are no files to drop in the given paths."),
    ],
)
def test_drop_without_files_is_a_wrong_command_line(run: Run, files: Path, words: tuple[str, ...], said: str) -> None:
    (files / "empty").mkdir()
    result = run("drop", *words, "-e", "digits")
    assert result.exit_code == Exit.USAGE
    assert said in result.stderr


def test_drop_of_scripts_without_the_role_exits_4(run: Run, files: Path, service: FakeService) -> None:
    service.routes[UPLOADS] = problem(403, "This requires the role `code`.")
    result = run("drop", "-s", "train.py", "-e", "digits")
    assert result.exit_code == Exit.NOT_ALLOWED
    assert "error: This requires the role `code`." in result.stderr

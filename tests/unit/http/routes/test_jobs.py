import re
from http import HTTPStatus

import pytest
from pytest_mock import MockerFixture

from function_app.domain import naming
from function_app.errors import TrainingServiceError, TrainingServiceUnavailable
from function_app.http.callers import Role
from function_app.ports.training_service import JobStatus
from tests.unit.api import LOCAL, api_over, limited
from tests.unit.http_client import Client
from tests.unit.memory_training import MemoryTraining
from tests.unit.simulation import SCRIPT, World, encoded, run_status_changed

DIGITS = {"experiment_name": "digits"}


@pytest.fixture
def client(world: World) -> Client:
    return Client(api_over(lambda: world.kedja, LOCAL))


@pytest.fixture
def submitted(world: World) -> str:
    """Return the name of a job that has not started."""
    world.drop_digits()
    world.rest()
    return str(world.receipt().job)


def lay_digits(world: World) -> None:
    """Put files into the folders without events."""
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
    world.blobs.upload(naming.DATA, "digits/digits.npz", b"digits")


def test_what_lies_in_the_folders_is_submitted(world: World, client: Client) -> None:
    lay_digits(world)

    answer = client.post("/api/jobs", json={**DIGITS, "kedja": {"arguments": {"epochs": 3}}})

    assert answer.status_code == HTTPStatus.ACCEPTED
    view = answer.json()
    assert re.fullmatch(r"digits-[0-9a-f]{16}-1", view["name"])
    assert view["status"] == "submitted"
    assert answer.headers["location"] == f"/api/jobs/{view['name']}"
    assert "--epochs 3" in world.training.requests[view["name"]].document["command"]
    assert world.receipt().trigger == "http: local"


def test_the_same_again_is_the_same_job_unless_it_is_forced(world: World, client: Client) -> None:
    lay_digits(world)
    first = client.post("/api/jobs", json=DIGITS).json()["name"]
    world.run_job(first)

    assert client.post("/api/jobs", json=DIGITS).json()["name"] == first
    assert client.post("/api/jobs?force=true", json=DIGITS).json()["name"] == first.removesuffix("1") + "2"


def test_a_drop_that_waits_is_located_by_its_receipt(world: World, client: Client) -> None:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)

    answer = client.post("/api/jobs", json=DIGITS)

    view = answer.json()
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert (view["name"], view["status"], view["reason"]) == (None, "waiting", "data")
    assert view["waiting_for"] == "files"
    assert answer.headers["location"] == f"/api/drops/digits/{view['drop']}" == view["receipt"]


def test_a_dry_run_says_what_a_drop_would_wait_for(world: World, client: Client) -> None:
    world.blobs.upload(naming.SCRIPTS, "digits/train.py", SCRIPT)
    view = client.post("/api/jobs?dry_run=true", json=DIGITS).json()
    assert (view["status"], view["waiting_for"]) == ("waiting", "files")

    lay_digits(world)
    view = client.post("/api/jobs?dry_run=true", json=DIGITS).json()
    assert (view["status"], view["waiting_for"]) == ("submitting", None)


def test_a_dry_run_shows_the_job_and_does_nothing(world: World, client: Client) -> None:
    lay_digits(world)
    body = {**DIGITS, "environment_variables": {"TOKEN": "hush"}}
    before = world.blobs.names_in(naming.RECEIPTS)

    answer = client.post("/api/jobs?dry_run=true", json=body)

    assert answer.status_code == HTTPStatus.OK
    view = answer.json()
    assert view["dry_run"] is True
    assert view["status"] == "submitting"
    assert view["document"]["compute"] == "azureml:gpu-cluster"
    assert view["existing"] is None
    assert "hush" not in answer.text
    assert world.blobs.names_in(naming.RECEIPTS) == before
    assert not world.training.jobs


def test_a_dry_run_of_a_sweep_does_not_show_secrets_either(world: World, client: Client) -> None:
    lay_digits(world)
    body = {
        **DIGITS,
        "type": "sweep",
        "trial": {"environment_variables": {"TOKEN": "hush"}},
        "search_space": {"lr": {"type": "choice", "values": [0.1, 0.01]}},
        "objective": {"primary_metric": "loss", "goal": "minimize"},
        "limits": {"max_total_trials": 2},
    }

    answer = client.post("/api/jobs?dry_run=true", json=body)

    assert answer.json()["document"]["trial"]["environment_variables"] == {"TOKEN": "…"}
    assert "hush" not in answer.text


def test_a_dry_run_knows_the_receipt_of_the_same_content(world: World, client: Client, submitted: str) -> None:
    assert client.post("/api/jobs?dry_run=true", json=DIGITS).json()["existing"]["name"] == submitted


@pytest.mark.parametrize("address", ["/api/jobs", "/api/jobs?dry_run=true"])
def test_code_takes_its_role(world: World, address: str) -> None:
    lay_digits(world)
    body = {**DIGITS, "command": "rm -rf /"}

    refused = limited(world, Role.DATA).post(address, json=body)

    assert refused.status_code == HTTPStatus.FORBIDDEN
    assert refused.json()["type"] == "urn:kedja:problem:role-missing"
    assert "command" in refused.json()["detail"]
    assert limited(world, Role.CODE).post(address, json=body).is_success


@pytest.mark.parametrize(
    ("body", "key"), [({**DIGITS, "comptue": "x"}, "comptue"), ({"tags": {}}, "experiment_name"), ([], "body")]
)
def test_a_wrong_spec_is_a_problem_that_names_the_key(world: World, client: Client, body: object, key: str) -> None:
    lay_digits(world)

    answer = client.post("/api/jobs", json=body)

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert key in str(answer.json()["problems"])


def test_a_wrong_job_yaml_is_told_with_its_line(world: World, client: Client) -> None:
    lay_digits(world)
    world.blobs.upload(naming.SCRIPTS, "digits/job.yaml", b"kedja:\n  data: maybe\n")

    (problem,) = client.post("/api/jobs", json=DIGITS).json()["problems"]

    assert (problem["key"], problem["line"]) == ("kedja.data", 2)


def test_an_empty_folder_is_not_found(client: Client) -> None:
    answer = client.post("/api/jobs", json=DIGITS)

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert "Nothing was dropped" in answer.json()["detail"]


def test_scripts_that_are_being_copied_are_a_reason_to_come_again(world: World, client: Client) -> None:
    lay_digits(world)
    world.blobs.hold_copies = True

    answer = client.post("/api/jobs", json=DIGITS)

    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert answer.headers["retry-after"] == "5"


def test_a_job_that_runs_shows_what_its_service_says(
    world: World, client: Client, submitted: str, mocker: MockerFixture
) -> None:
    world.training.move(submitted, JobStatus.RUNNING)
    mocker.patch.object(MemoryTraining, "metrics", return_value={"loss": 0.25})

    view = client.get_json(f"/api/jobs/{submitted}")

    assert view["live"]["status"] == "running"
    assert view["live"]["metrics"] == {"loss": 0.25}
    assert view["live"]["links"] == {"mlflow": f"http://mlflow.test/{submitted}"}
    assert view["attempt"]["job"] == submitted
    assert view["is_last_attempt"] is True


def test_a_job_is_shown_though_its_service_does_not_answer(world: World, client: Client, submitted: str) -> None:
    world.training.unavailable = True

    view = client.get_json(f"/api/jobs/{submitted}")

    assert view["live"] is None
    assert view["live_problem"] == "The training service is down."
    assert view["status"] == "submitted"


@pytest.mark.parametrize("asked", ["get", "metrics"])
def test_a_job_is_shown_though_its_service_refuses_to_tell_of_it(
    world: World, client: Client, submitted: str, mocker: MockerFixture, asked: str
) -> None:
    world.training.move(submitted, JobStatus.RUNNING)
    world.rest()
    mocker.patch.object(MemoryTraining, asked, side_effect=TrainingServiceError("It answered 400."))

    view = client.get_json(f"/api/jobs/{submitted}")

    assert (view["status"], view["live"], view["live_problem"]) == ("running", None, "It answered 400.")


def test_a_job_that_has_ended_is_told_from_its_receipt(world: World, client: Client, submitted: str) -> None:
    world.run_job(submitted, metrics={"accuracy": 0.97})
    world.training.calls.clear()

    view = client.get_json(f"/api/jobs/{submitted}")

    assert view["status"] == "registered"
    assert view["attempt"]["metrics"] == {"accuracy": 0.97}
    assert view["model"]["version"] == "1"
    assert world.training.calls == []


@pytest.mark.parametrize("name", ["digits-0123456789abcdef-1", "digits", "..-0-1", "-0123456789abcdef-1"])
@pytest.mark.parametrize("rest", ["", "/logs"])
def test_an_unknown_job_is_not_found(client: Client, name: str, rest: str) -> None:
    assert client.get(f"/api/jobs/{name}{rest}").status_code == HTTPStatus.NOT_FOUND


def test_a_job_is_canceled_once(world: World, client: Client, submitted: str) -> None:
    answer = client.post(f"/api/jobs/{submitted}/cancel")

    assert answer.status_code == HTTPStatus.ACCEPTED
    assert answer.json()["status"] == "canceling"
    assert world.training.jobs[submitted].status is JobStatus.CANCELED
    world.rest()
    assert client.get_json(f"/api/jobs/{submitted}")["status"] == "canceled"
    again = client.post(f"/api/jobs/{submitted}/cancel")
    assert again.status_code == HTTPStatus.CONFLICT
    assert again.json()["type"] == "urn:kedja:problem:refused"


def test_a_retry_is_the_next_job(world: World, client: Client, submitted: str) -> None:
    assert client.post(f"/api/jobs/{submitted}/retry").status_code == HTTPStatus.CONFLICT
    world.run_job(submitted, exit_code=1)

    answer = client.post(f"/api/jobs/{submitted}/retry")

    assert answer.status_code == HTTPStatus.ACCEPTED
    again = answer.json()["name"]
    assert again == submitted.removesuffix("1") + "2"
    assert answer.headers["location"] == f"/api/jobs/{again}"
    first = client.get_json(f"/api/jobs/{submitted}")
    assert first["attempts"] == [submitted, again]
    assert first["is_last_attempt"] is False
    assert first["attempt"]["exit_code"] == 1


# Logs.


@pytest.fixture
def logged(world: World, submitted: str) -> str:
    world.training.log_texts[submitted] = "epoch 1\nepoch 2 ö\n"
    return submitted


def test_a_log_is_text_with_where_to_read_on(client: Client, logged: str) -> None:
    answer = client.get(f"/api/jobs/{logged}/logs")

    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == "epoch 1\nepoch 2 ö\n"
    assert (answer.headers["x-next-offset"], answer.headers["x-complete"]) == ("19", "false")


def test_a_log_is_read_in_pieces(world: World, client: Client, logged: str) -> None:
    world.run_job(logged)

    first = client.get(f"/api/jobs/{logged}/logs?limit=8")
    rest = client.get(f"/api/jobs/{logged}/logs?offset={first.headers['x-next-offset']}")

    assert (first.text, rest.text) == ("epoch 1\n", "epoch 2 ö\n")
    assert rest.headers["x-complete"] == "true"
    assert client.get(f"/api/jobs/{logged}/logs?offset=-11").text == "epoch 2 ö\n"


@pytest.mark.parametrize(
    ("wanted", "text", "content_range"),
    [
        ("bytes=8-", "epoch 2 ö\n", "bytes 8-18/*"),
        ("bytes=0-7", "epoch 1\n", "bytes 0-7/*"),
        ("bytes=-11", "epoch 2 ö\n", "bytes 8-18/*"),
    ],
)
def test_a_range_of_a_log(client: Client, logged: str, wanted: str, text: str, content_range: str) -> None:
    answer = client.get(f"/api/jobs/{logged}/logs", headers={"Range": wanted})

    assert answer.status_code == HTTPStatus.PARTIAL_CONTENT
    assert (answer.text, answer.headers["content-range"]) == (text, content_range)


def test_a_range_of_a_log_that_has_ended_says_how_long_it_is(world: World, client: Client, logged: str) -> None:
    world.run_job(logged)

    answer = client.get(f"/api/jobs/{logged}/logs", headers={"Range": "bytes=8-"})

    assert answer.headers["content-range"] == "bytes 8-18/19"


def test_a_range_behind_the_end_waits(client: Client, logged: str) -> None:
    answer = client.get(f"/api/jobs/{logged}/logs", headers={"Range": "bytes=19-"})

    assert answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    assert answer.headers["content-range"] == "bytes */19"
    assert answer.headers["x-complete"] == "false"


@pytest.mark.parametrize("wanted", ["lines=1-2", "bytes=1-2,4-5", "bytes=", "bytes=a-"])
def test_a_range_that_is_not_understood_is_ignored(client: Client, logged: str, wanted: str) -> None:
    answer = client.get(f"/api/jobs/{logged}/logs", headers={"Range": wanted})

    assert (answer.status_code, answer.text) == (HTTPStatus.OK, "epoch 1\nepoch 2 ö\n")


def test_the_log_of_a_job_that_is_being_submitted_is_empty(world: World, client: Client, mocker: MockerFixture) -> None:
    lay_digits(world)
    mocker.patch.object(MemoryTraining, "submit", side_effect=TrainingServiceUnavailable("later"))
    name = client.post("/api/jobs", json=DIGITS).json()["name"]

    answer = client.get(f"/api/jobs/{name}/logs")

    assert (answer.status_code, answer.text) == (HTTPStatus.OK, "")
    assert (answer.headers["x-next-offset"], answer.headers["x-complete"]) == ("0", "false")


def test_a_log_that_the_training_service_has_lost_is_not_found(world: World, client: Client, logged: str) -> None:
    del world.training.jobs[logged]

    assert client.get(f"/api/jobs/{logged}/logs").status_code == HTTPStatus.NOT_FOUND


# Lists.


def test_jobs_are_listed_newest_first(world: World, client: Client) -> None:
    for experiment in ("first", "second"):
        world.drop(f"data/{experiment}/a.npz")
        world.rest()
    world.drop("scripts/waits/train.py")
    world.rest()

    items = client.get_json("/api/jobs")["items"]

    assert [item["experiment"] for item in items] == ["second", "first"]
    assert [item["experiment"] for item in client.get_json("/api/drops")["items"]] == ["waits", "second", "first"]
    assert items[0]["receipt"] == f"/api/drops/second/{items[0]['drop']}"


def test_jobs_are_filtered(world: World, client: Client, submitted: str) -> None:
    world.drop("data/Other Folder/a.npz")
    world.rest()
    world.run_job(submitted)

    def listed(query: str) -> list[str]:
        return [item["experiment"] for item in client.get_json(f"/api/jobs?{query}")["items"]]

    assert listed("experiment=digits") == ["digits"]
    assert listed("status=registered") == ["digits"]
    slug = naming.slug("Other Folder")
    assert listed("experiment=Other%20Folder") == listed(f"experiment={slug}") == [slug]
    assert listed("experiment=digits&status=failed") == []
    assert client.get("/api/jobs?status=done").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_foreign_runs_change_nothing(world: World, client: Client, submitted: str) -> None:
    assert client.post("/api/events", content=encoded([run_status_changed("x", "Completed")])).json()["accepted"] == 1
    world.rest()

    assert client.get_json(f"/api/jobs/{submitted}")["status"] == "submitted"

"""How errors are reported: the status and the problem of each."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from function_app.domain.receipt import IllegalTransition
from function_app.drops.uploads import InvalidName
from function_app.errors import (
    AppNotAllowed,
    BlobNotFound,
    ComputeRefused,
    Conflict,
    Forbidden,
    Invalid,
    InvalidEvent,
    InvalidSettings,
    JobConflict,
    JobNotFound,
    JobRefused,
    KedjaError,
    ModelRefused,
    NotFound,
    PreconditionFailed,
    Refused,
    RoleMissing,
    StorageUnavailable,
    TrainingServiceError,
    TrainingServiceUnavailable,
    Transient,
    Unauthenticated,
)
from function_app.http.idempotency import KeyInProgress, KeyReused
from function_app.http.middleware import BODY_LIMIT
from function_app.http.problems import problem_type
from function_app.jobspec.problem import InvalidJobSpec, SpecProblem
from function_app.models.ownership import ModelNotShared, OwnerChanged
from function_app.operations.service import Kedja
from function_app.store.deletions import BeingDeleted
from function_app.store.journal import InvalidCursor
from function_app.store.receipts import ReceiptBusy
from function_app.store.snapshots import CopyPending, SourceChanged
from tests.unit.api import LOCAL, api_over
from tests.unit.http_client import Client
from tests.unit.memory_training import MemoryTraining


@pytest.fixture
def client(kedja: Kedja) -> Client:
    return Client(api_over(lambda: kedja, LOCAL))


def errors_of(base: type[KedjaError]) -> Iterator[type[KedjaError]]:
    yield base
    for error in base.__subclasses__():
        yield from errors_of(error)


def test_what_is_not_there_is_a_problem(client: Client) -> None:
    answer = client.get("/api/nothing")

    assert answer.status_code == HTTPStatus.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == HTTPStatus.NOT_FOUND


def test_a_wrong_method_is_a_problem(client: Client) -> None:
    answer = client.request("DELETE", "/api/drops")

    assert answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["allow"] == "GET"


def test_a_wrong_value_is_named_and_not_repeated(client: Client) -> None:
    answer = client.get("/api/drops?limit=password123")

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.json()["problems"][0]["key"] == "query.limit"
    assert "password123" not in answer.text


def test_a_body_that_is_no_json_is_a_problem(client: Client) -> None:
    answer = client.post("/api/jobs", content=b"{", headers={"content-type": "application/json"})

    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_long_body_is_refused(client: Client, *, in_pieces: bool) -> None:
    async def pieces() -> Any:  # noqa: ANN401 - an asynchronous iterator of bytes
        for _ in range(3):
            yield b"x" * (BODY_LIMIT // 2)

    answer = client.post("/api/events", content=pieces() if in_pieces else b"x" * (BODY_LIMIT + 1))

    assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert answer.json()["type"] == "urn:kedja:problem:too-large"


def test_a_body_up_to_the_limit_is_read(client: Client) -> None:
    event = {"id": "1", "eventType": "Else.Where", "data": "x" * (BODY_LIMIT - 100)}

    assert client.post("/api/events", json=[event]).json() == {"received": 1, "accepted": 0, "ignored": 1}


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_after"),
    [
        (Unauthenticated("x"), 401, "unauthenticated", None),
        (RoleMissing("x"), 403, "role-missing", None),
        (NotFound("x"), 404, "not-found", None),
        (JobNotFound("x"), 404, "not-found", None),
        (Refused("x"), 409, "refused", None),
        (IllegalTransition("x"), 409, "refused", None),
        (JobConflict("x"), 409, "job-conflict", None),
        (ReceiptBusy("x"), 409, "busy", "10"),
        (BeingDeleted("x"), 409, "being-deleted", "300"),
        (OwnerChanged("x"), 412, "changed", None),
        (SourceChanged("x"), 409, "changed-meanwhile", "10"),
        (InvalidJobSpec(["x"]), 422, "invalid-job", None),
        (JobRefused("x"), 422, "job-refused", None),
        (ComputeRefused("x"), 422, "compute-refused", None),
        (InvalidCursor("x"), 422, "invalid-request", None),
        (InvalidName("x"), 422, "invalid-request", None),
        (KeyReused("x"), 422, "idempotency-key-reused", None),
        (KeyInProgress("x"), 409, "in-progress", "10"),
        (InvalidEvent("x"), 400, "invalid-event", None),
        (CopyPending("x"), 503, "copy-under-way", "5"),
        (StorageUnavailable("x"), 503, "storage-unavailable", "10"),
        (TrainingServiceUnavailable("x"), 503, "training-unavailable", "30"),
        (TrainingServiceUnavailable("x", 7.2), 503, "training-unavailable", "8"),
        (BlobNotFound("x"), 502, "storage-failed", None),
        (PreconditionFailed("x"), 502, "storage-failed", None),
        (ModelRefused("x"), 502, "training-failed", None),
        (TrainingServiceError("x"), 502, "training-failed", None),
        (AppNotAllowed("x"), 502, "app-not-allowed", None),
    ],
)
def test_each_error_has_its_status(
    client: Client, mocker: MockerFixture, error: KedjaError, status: int, kind: str, retry_after: str | None
) -> None:
    mocker.patch.object(MemoryTraining, "computes", side_effect=error)

    answer = client.get("/api/compute")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry_after
    assert answer.json()["type"] == f"urn:kedja:problem:{kind}"
    assert answer.json()["detail"] == "x"


def test_each_problem_of_a_job_file_has_its_place(client: Client, mocker: MockerFixture) -> None:
    wrong = InvalidJobSpec([SpecProblem(3, 5, "kedja.data", "expected required or none"), "no place"])
    mocker.patch.object(MemoryTraining, "computes", side_effect=wrong)

    assert client.get("/api/compute").json()["problems"] == [
        {"key": "kedja.data", "message": "expected required or none", "line": 3, "column": 5},
        {"key": "", "message": "no place"},
    ]


def test_each_base_has_its_status() -> None:
    bases = {
        Invalid: 422,
        Unauthenticated: 401,
        Forbidden: 403,
        NotFound: 404,
        Refused: 409,
        Conflict: 409,
        Transient: 503,
    }

    for base, status in bases.items():
        new = type("NewError", (base,), {})
        assert problem_type(new).status == status
        assert (problem_type(new).retry_after is not None) == (base is Transient)


def test_an_error_of_a_port_may_have_a_base_too() -> None:
    assert issubclass(JobNotFound, NotFound)
    assert issubclass(JobNotFound, TrainingServiceError)
    assert issubclass(RoleMissing, Forbidden)
    assert not issubclass(RoleMissing, Refused)
    assert not issubclass(BlobNotFound, NotFound)


@pytest.mark.parametrize(
    "error", [InvalidSettings("KEDJA_X is 'secret'"), KedjaError("secret"), RuntimeError("secret")]
)
def test_an_error_of_kedjas_own_is_logged_and_not_shown(
    client: Client, mocker: MockerFixture, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    mocker.patch.object(MemoryTraining, "computes", side_effect=error)

    answer = client.get("/api/compute")

    assert answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_the_model_of_another_experiment_is_a_conflict_with_a_type_of_its_own() -> None:
    kind = problem_type(ModelNotShared)

    assert (kind.status, kind.name) == (HTTPStatus.CONFLICT, "model-not-shared")


def test_the_documentation_has_every_kind_of_problem() -> None:
    text = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()
    abstract = {Forbidden, Conflict, Transient}  # raised only as one of their subclasses

    own = [error for error in errors_of(KedjaError) if "code" in vars(error) and error not in abstract]
    assert len(own) > len(abstract)
    for error in own:
        assert f"`{error.code}`" in text, error.code

"""The routes of the service itself: compute, pause and health."""

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

import function_app
from function_app.errors import KedjaError
from function_app.http.auth import DataUser, Operator, access_of
from function_app.http.callers import Role
from function_app.http.problems import problem_responses
from function_app.http.services import ComputesDep, DefaultComputeDep, PausesDep, Probes, ProbesDep
from function_app.http.views import ComputeList, ComputeView, PauseView

router = APIRouter(prefix="/api", tags=["service"])

DEPENDENCIES = (
    "attrs",
    "azure-ai-ml",
    "azure-core",
    "azure-eventgrid",
    "azure-functions",
    "azure-identity",
    "azure-storage-blob",
    "azure-storage-queue",
    "cryptography",
    "fastapi",
    "httpx",
    "ijson",
    "marshmallow",
    "pydantic",
    "python-dateutil",
    "pyyaml",
    "starlette",
)
"""The packages that the service depends on, as in pyproject.toml."""

_ANSWERS = problem_responses(HTTPStatus.SERVICE_UNAVAILABLE)
_ASKING = problem_responses(HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
"""The problems of routes that call the training service."""


class PauseRequest(BaseModel):
    """Why intake is to be paused."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ComputeRequest(BaseModel):
    """The nodes of a cluster. `size` is an Azure VM size."""

    size: Annotated[str, Field(min_length=1, max_length=100, examples=["Standard_NC24ads_A100_v4"])]
    max_nodes: Annotated[int, Field(ge=0, le=1000)]


class Check(BaseModel):
    """Whether a part of the service responded, and how long it took."""

    state: Literal["ok", "failed"]
    milliseconds: float
    error: str | None = None


class Health(BaseModel):
    """Whether the service works. `checks` is present if they were requested."""

    status: Literal["ok", "failed"]
    kedja: str
    python: str
    packages: Mapping[str, str]
    checks: Mapping[str, Check] | None = None


@router.get("/compute", operation_id="list_compute", responses=_ASKING)
def list_compute(_caller: DataUser, computes: ComputesDep, default: DefaultComputeDep) -> ComputeList:
    """List the computes that can run jobs."""
    items = [ComputeView.model_validate(compute) for compute in computes.computes()]
    return ComputeList(default=default, items=items)


@router.put(
    "/compute/{name}",
    operation_id="create_compute",
    status_code=HTTPStatus.ACCEPTED,
    responses=_ASKING,
)
def create_compute(
    _caller: Operator,
    computes: ComputesDep,
    name: Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,22}[A-Za-z0-9]$", description="2 to 24 letters.")],
    wanted: ComputeRequest,
) -> ComputeView:
    """Create a cluster that scales to zero, or change its max number of nodes."""
    return ComputeView.model_validate(computes.create_compute(name, size=wanted.size, max_nodes=wanted.max_nodes))


@router.get("/pause", operation_id="get_pause", responses=_ANSWERS)
def get_pause(_caller: DataUser, pauses: PausesDep) -> PauseView:
    """Return whether intake is paused."""
    return PauseView.of(pauses.find())


@router.put("/pause", operation_id="pause", responses=_ANSWERS)
def pause(caller: Operator, pauses: PausesDep, request: PauseRequest) -> PauseView:
    """Pause intake until it is resumed. Files that are dropped meanwhile are kept, and running jobs continue."""
    return PauseView.of(pauses.begin(request.reason, caller.name))


@router.delete("/pause", operation_id="resume", responses=_ANSWERS)
def resume(_caller: Operator, pauses: PausesDep) -> PauseView:
    """Resume intake, first with the files that were dropped during the pause."""
    pauses.end()
    return PauseView.of(None)


_HEALTH: dict[int | str, dict[str, Any]] = {
    **_ANSWERS,
    503: {"model": Health, "description": "A part does not work; `checks` names it."},
}


@router.get(
    "/health",
    operation_id="get_health",
    response_model_exclude_none=True,
    responses=_HEALTH,
)
def get_health(
    request: Request,
    response: Response,
    probes: ProbesDep,
    *,
    deep: Annotated[
        bool, Query(description="Check each part. Requires a key with a role; a sign-in is ignored.")
    ] = False,
) -> Health:
    """Return the running versions; with `deep`, also whether storage and the training service respond."""
    checks = None
    if deep:
        access_of(request).caller(request).require(Role.DATA)
        checks = _checked(probes)
    return _health(response, checks)


@router.get("/checks", operation_id="get_checks", response_model_exclude_none=True, responses=_HEALTH)
def get_checks(response: Response, _caller: DataUser, probes: ProbesDep) -> Health:
    """Return the same as `/api/health?deep=true`, also for callers who signed in."""
    return _health(response, _checked(probes))


def _health(response: Response, checks: Mapping[str, Check] | None) -> Health:
    well = all(check.state == "ok" for check in (checks or {}).values())
    response.status_code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Health(
        status="ok" if well else "failed",
        kedja=function_app.__version__,
        python=platform.python_version(),
        packages={name: _version(name) for name in DEPENDENCIES},
        checks=checks,
    )


def _checked(probes: Probes) -> dict[str, Check]:
    """Check each part of the service, unless the first part, which the others need, has failed."""
    (first, connect), *others = probes.items()
    checks = {first: _check(connect)}
    if checks[first].state == "ok":
        checks.update((name, _check(probe)) for name, probe in others)
    return checks


def _check(ask: Callable[[], object]) -> Check:
    began = time.perf_counter()
    error = None
    try:
        ask()
    except KedjaError as failure:
        error = str(failure)
    milliseconds = round((time.perf_counter() - began) * 1e3, 1)
    return Check(state="failed" if error else "ok", milliseconds=milliseconds, error=error)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

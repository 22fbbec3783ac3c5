"""The routes of the service itself: where jobs run, whether drops are taken, and whether all is well."""

import importlib.metadata
import platform
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

import function_app
from function_app.domain import naming
from function_app.errors import KedjaError
from function_app.http.auth import DataCaller, Operator, Service, access_of
from function_app.http.callers import Role
from function_app.http.problems import answers
from function_app.http.views import ComputeList, ComputeView, PauseView
from function_app.operations.service import Kedja
from function_app.store.pause import Pauses

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
"""The packages that the service runs on, as pyproject.toml has them."""

_ANSWERS = answers(HTTPStatus.SERVICE_UNAVAILABLE)
_ASKING = answers(HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
"""Of routes that ask the training service."""


class PauseRequest(BaseModel):
    """Why drops are not to be taken."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class ComputeRequest(BaseModel):
    """What a cluster is to be made of. `size` is Azure's name of a kind of machine."""

    size: Annotated[str, Field(min_length=1, max_length=100, examples=["Standard_NC24ads_A100_v4"])]
    max_nodes: Annotated[int, Field(ge=0, le=1000)]


class Check(BaseModel):
    """How a part answered, and in what time."""

    state: Literal["ok", "failed"]
    milliseconds: float
    error: str | None = None


class Health(BaseModel):
    """Whether the service works. `checks` are there where `deep` asked for them."""

    status: Literal["ok", "failed"]
    kedja: str
    python: str
    packages: Mapping[str, str]
    checks: Mapping[str, Check] | None = None


@router.get("/compute", operation_id="list_compute", responses=_ASKING)
def list_compute(_caller: DataCaller, kedja: Service) -> ComputeList:
    """List where jobs can run."""
    items = [ComputeView.of(compute) for compute in kedja.training.computes()]
    return ComputeList(default=kedja.settings.compute, items=items)


@router.put(
    "/compute/{name}",
    operation_id="create_compute",
    status_code=HTTPStatus.ACCEPTED,
    responses=_ASKING,
)
def create_compute(
    _caller: Operator,
    kedja: Service,
    name: Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,22}[A-Za-z0-9]$", description="2 to 24 letters.")],
    wanted: ComputeRequest,
) -> ComputeView:
    """Create a cluster that is empty while no job runs, or change how many nodes it may have."""
    return ComputeView.of(kedja.training.create_compute(name, size=wanted.size, max_nodes=wanted.max_nodes))


@router.get("/pause", operation_id="get_pause", responses=_ANSWERS)
def get_pause(_caller: DataCaller, kedja: Service) -> PauseView:
    """Return whether drops are being taken."""
    return PauseView.of(_pauses(kedja).find())


@router.put("/pause", operation_id="pause", responses=_ANSWERS)
def pause(caller: Operator, kedja: Service, request: PauseRequest) -> PauseView:
    """Take no drops until further notice. What is dropped meanwhile is kept, and running jobs go on."""
    return PauseView.of(_pauses(kedja).begin(request.reason, caller.name))


@router.delete("/pause", operation_id="resume", responses=_ANSWERS)
def resume(_caller: Operator, kedja: Service) -> PauseView:
    """Take drops again, those first that came meanwhile."""
    _pauses(kedja).end()
    return PauseView.of(None)


_HEALTH: dict[int | str, dict[str, Any]] = {
    **_ANSWERS,
    503: {"model": Health, "description": "A part does not work: `checks` says which."},
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
    *,
    deep: Annotated[bool, Query(description="Ask each part; takes a key with a role. A sign-in is not read.")] = False,
) -> Health:
    """Return the versions that run; with `deep`, whether storage and the training service answer."""
    checks = None
    if deep:
        access = access_of(request)
        access.caller(request).check(Role.DATA)
        checks = _checked(access.kedja)
    return _health(response, checks)


@router.get("/checks", operation_id="get_checks", response_model_exclude_none=True, responses=_HEALTH)
def get_checks(request: Request, response: Response, _caller: DataCaller) -> Health:
    """Return what `/api/health?deep=true` does, to whoever has signed in too."""
    return _health(response, _checked(access_of(request).kedja))


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


def _pauses(kedja: Kedja) -> Pauses:
    return Pauses(kedja.blobs, kedja.receipts.clock)


def _checked(connect: Callable[[], Kedja]) -> dict[str, Check]:
    checks = {"settings": _check(connect)}
    if checks["settings"].state == "ok":
        kedja = connect()
        checks["storage"] = _check(lambda: kedja.blobs.page(naming.RECEIPTS, ".open/", size=1))
        checks["training"] = _check(kedja.training.computes)
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

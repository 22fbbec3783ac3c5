"""The routes of model ownership: which experiment owns a model, and which others may register versions of it."""

import re
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from pydantic import AfterValidator, BaseModel, Field

from function_app.domain import naming
from function_app.errors import NotFound
from function_app.http.auth import CodeUser, DataUser
from function_app.http.callers import Caller
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import experiment_name
from function_app.http.services import OwnersDep
from function_app.http.views import View
from function_app.models.ownership import ModelOwner, Owners

router = APIRouter(prefix="/api/models", tags=["models"])

MOST = 100
_PATTERN = re.compile(r"[a-z0-9*?\[\]!-]*[*?\[][a-z0-9*?\[\]!-]*")
_LOOKING = problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_ETAG: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "For If-Match.", "schema": {"type": "string"}}}}
}


def _experiment(text: str) -> str:
    """Return an experiment's name in receipts, given that or its folder's name; return a pattern unchanged."""
    return text if _PATTERN.fullmatch(text) else experiment_name(text)


class Sharing(BaseModel):
    """Which other experiments may register versions of a model."""

    allowed: Annotated[
        Sequence[Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_experiment)]],
        Field(
            max_length=MOST,
            description="Experiments, by their folder's name or their name in receipts, and patterns such as "
            "`vision-*`. With an empty list, only the owner may register versions.",
            examples=[["digits", "vision-*"]],
        ),
    ]


class OwnerView(View):
    """The owner of a model. `by` is who last changed `allowed`, or null if it was never changed."""

    model: str
    owner: str
    allowed: Sequence[str]
    since: datetime
    by: str | None


@router.get("/{model}/owner", operation_id="get_model_owner", responses={**_LOOKING, **_ETAG})
def get_model_owner(caller: DataUser, owners: OwnersDep, response: Response, model: str) -> OwnerView:
    """Return the experiment that owns a model, and which others may register versions of it."""
    found, etag = _owner(caller, owners, model)
    response.headers["ETag"] = f'"{etag}"'
    return OwnerView.model_validate(found)


@router.put(
    "/{model}/owner",
    operation_id="share_model",
    responses={**_LOOKING, **problem_responses(HTTPStatus.PRECONDITION_FAILED), **_ETAG},
)
def share_model(
    caller: CodeUser,
    owners: OwnersDep,
    response: Response,
    model: str,
    sharing: Sharing,
    known: Annotated[
        str | None,
        Header(alias="If-Match", max_length=1000, description="The ETag that was read; without it, any matches."),
    ] = None,
) -> OwnerView:
    """Set which other experiments may register versions of a model. Registered versions stay."""
    _owner(caller, owners, model)

    def is_current(etag: str) -> bool:
        wanted = {one.strip().strip('"') for one in (known or "*").split(",")}
        return bool(wanted & {"*", etag})

    found, etag = owners.share(model, sharing.allowed, by=caller.name, is_current=is_current)
    response.headers["ETag"] = f'"{etag}"'
    return OwnerView.model_validate(found)


def _owner(caller: Caller, owners: Owners, model: str) -> tuple[ModelOwner, str]:
    """Return a model's owner and its ETag. Raise NotFound if there is none, or the caller may not act for it."""
    found, etag = owners.read(model) if naming.MODEL_NAME.fullmatch(model) else (None, "")
    if found is None or not caller.can_see(found.owner):
        raise NotFound(f"There is no model {model!r}, or you may not change it. GET /api/models lists all models.")
    return found, etag

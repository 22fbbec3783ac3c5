"""The routes of drops: list drops, and read their receipts."""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import NotFound
from function_app.http.auth import DataUser
from function_app.http.callers import Caller
from function_app.http.paging.receipts import MOST, newest, newest_of
from function_app.http.paging.sealing import Seal
from function_app.http.problems import problem_responses
from function_app.http.services import LookupDep, ReceiptsDep, SealDep
from function_app.http.views import DropPage, DropSummary, ReceiptView
from function_app.store.receipts import Receipts, ReceiptSummary

router = APIRouter(prefix="/api/drops", tags=["drops"])

NOT_TOLD: Mapping[str, Any] = {"outbox": True, "attempts": {"__all__": {"request"}}}
"""The fields of a stored receipt that callers do not see."""
_WITH_HASH = re.compile(r"[a-z0-9][a-z0-9-]{0,39}-[0-9a-f]{6}")

Experiment = Annotated[
    str | None, Query(description="Only this experiment, by its folder's name or its name in receipts.")
]
StatusFilter = Annotated[Status | None, Query(alias="status", description="Only drops with this current status.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Max items.")]
After = Annotated[str | None, Query(max_length=4000, description="The `next` of the previous response.")]


def experiment_name(text: str) -> str:
    """Return an experiment's name in receipts, given that or its folder's name."""
    return text if text == naming.ROOT_EXPERIMENT or _WITH_HASH.fullmatch(text) else naming.slug(text)


def listed(caller: Caller, status: Status | None, *, with_job: bool = False) -> Callable[[ReceiptSummary], bool]:
    """Return a filter for the receipts in a list for this caller."""

    def wanted(summary: ReceiptSummary) -> bool:
        return (
            caller.can_see(summary.experiment)
            and (status is None or summary.status == status)
            and (not with_job or summary.job is not None)
        )

    return wanted


def drop_page(
    receipts: Receipts,
    wanted: Callable[[ReceiptSummary], bool],
    experiment: str | None,
    *,
    caller: Caller,
    seal: Seal,
    limit: int,
    after: str | None,
) -> DropPage:
    """Return a page of the wanted receipts, of one experiment or of all."""
    used = seal_for(caller, seal)
    slug = experiment_name(experiment) if experiment else caller.only_experiment
    if slug:
        found, token = newest_of(receipts, slug, wanted, limit=limit, after=after, seal=used)
    else:
        found, token = newest(receipts, wanted, limit=limit, after=after, seal=used)
    return DropPage(items=[DropSummary.of(summary) for summary in found], next=token)


def seal_for(caller: Caller, seal: Seal) -> Seal | None:
    """Return the seal for a caller's page tokens, or None if they may see every experiment."""
    return None if caller.sees_everything else seal


@router.get("", operation_id="list_drops", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
def list_drops(
    caller: DataUser,
    receipts: ReceiptsDep,
    seal: SealDep,
    experiment: Experiment = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    after: After = None,
) -> DropPage:
    """List drops, newest first."""
    return drop_page(receipts, listed(caller, status), experiment, caller=caller, seal=seal, limit=limit, after=after)


@router.get(
    "/{experiment}/{drop}",
    operation_id="get_drop",
    response_model=ReceiptView,
    responses={
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
        200: {"headers": {"ETag": {"description": "For If-None-Match.", "schema": {"type": "string"}}}},
        304: {"description": "The receipt still has an ETag in If-None-Match.", "content": {}},
    },
)
def get_drop(
    caller: DataUser,
    receipts: ReceiptsDep,
    lookup: LookupDep,
    experiment: str,
    drop: str,
    known: Annotated[str | None, Header(alias="If-None-Match", max_length=1000)] = None,
) -> Response:
    """Return a receipt. `drop` is the drop's id, its first eight or more digits, or `latest`."""
    slug = experiment_name(experiment)
    if not caller.can_see(slug):
        raise NotFound(f"There is no receipt {experiment}/{drop}. GET /api/drops lists all drops.")
    receipt, etag = receipts.read(lookup.ref(slug, drop))
    headers = {"ETag": f'"{etag}"'}
    if known is not None and _matches(known, etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if receipt.waiting_for is not receipt.waits_for:  # written by a release before 0.2.0, which had no such field
        receipt = receipt.replace(waiting_for=receipt.waits_for)
    text = receipt.model_dump_json(exclude_none=True, exclude=NOT_TOLD)
    return Response(text, headers=headers, media_type="application/json")


def _matches(known: str, etag: str) -> bool:
    """Return whether the header If-None-Match names this ETag (RFC 9110, 13.1.2: a weak comparison)."""
    return known.strip() == "*" or etag in {one.strip().removeprefix("W/").strip('"') for one in known.split(",")}

"""The routes of drops: what was received, and the receipt of each."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from function_app import names
from function_app.callers import Caller
from function_app.errors import NotFound
from function_app.http_access import DataCaller, Service
from function_app.kedja import Kedja
from function_app.problems import answers
from function_app.receipt import Receipt, Status
from function_app.receipt_pages import MOST, newest
from function_app.receipts import Summary
from function_app.views import DropPage, DropSummary

router = APIRouter(prefix="/api/drops", tags=["drops"])

_WITH_HASH = re.compile(r"[a-z0-9][a-z0-9-]{0,39}-[0-9a-f]{6}")
_DROP = re.compile(r"[0-9a-f]{8,64}")
_WHOLE = 64

Experiment = Annotated[
    str | None, Query(description="Only this experiment's, by its folder's name or the one that receipts have.")
]
StatusFilter = Annotated[Status | None, Query(alias="status", description="Only those that are this now.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
After = Annotated[str | None, Query(max_length=4000, description="The `next` of the answer before.")]


def experiment_name(text: str) -> str:
    """Return the name that receipts have for an experiment, given that or its folder's."""
    return text if text == names.ROOT_EXPERIMENT or _WITH_HASH.fullmatch(text) else names.slug(text)


def listed(
    caller: Caller, experiment: str | None, status: Status | None, *, with_job: bool
) -> Callable[[Summary], bool]:
    """Return what tells which receipts belong on a list for this caller."""
    only = experiment_name(experiment) if experiment else None

    def wanted(summary: Summary) -> bool:
        return (
            caller.sees(summary.experiment)
            and (only is None or summary.experiment == only)
            and (status is None or summary.status == status)
            and (not with_job or summary.job is not None)
        )

    return wanted


@router.get("", operation_id="list_drops", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def list_drops(
    caller: DataCaller,
    kedja: Service,
    experiment: Experiment = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    after: After = None,
) -> DropPage:
    """List what was dropped, newest first."""
    wanted = listed(caller, experiment, status, with_job=False)
    summaries, token = newest(kedja.receipts, wanted, limit=limit, after=after, secretive=not caller.sees_everything)
    return DropPage(items=[DropSummary.of(summary) for summary in summaries], next=token)


@router.get(
    "/{experiment}/{drop}",
    operation_id="get_drop",
    response_model_exclude_none=True,
    responses=answers(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
)
def get_drop(caller: DataCaller, kedja: Service, experiment: str, drop: str) -> Receipt:
    """Return a receipt. `drop` is the drop's id, its first eight digits or more, or `latest`."""
    slug = experiment_name(experiment)
    missing = NotFound(f"There is no receipt {experiment}/{drop}. GET /api/drops lists those there are.")
    if not caller.sees(slug):
        raise missing
    if drop == "latest":
        latest = kedja.receipts.latest(slug)
        if latest is None:
            raise missing
        return kedja.receipts.load(slug, latest.drop)
    if not _DROP.fullmatch(drop):
        raise missing
    return kedja.receipts.load(slug, drop if len(drop) == _WHOLE else _completed(kedja, slug, drop))


def _completed(kedja: Kedja, experiment: str, start: str) -> str:
    """Return the one drop id that begins like this."""
    items = kedja.blobs.page(names.RECEIPTS, f"{experiment}/{start}", size=2).items
    found = [item.name.removeprefix(f"{experiment}/").removesuffix(".json") for item in items]
    if len(found) > 1:
        raise NotFound(f"{experiment}/{start} is the beginning of several drops' ids: give more of it.")
    if not found:
        raise NotFound(f"There is no receipt {experiment}/{start}. GET /api/drops lists those there are.")
    return found[0]

"""The routes of jobs: submit, look at, cancel, retry, and read the log of."""

import json
import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response

from function_app.domain import naming
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import JobNotFound, NotFound, TrainingServiceError
from function_app.http.auth import DataCaller, Service
from function_app.http.callers import Caller
from function_app.http.idempotent import identity
from function_app.http.metric_views import JobMetrics
from function_app.http.problems import answers
from function_app.http.routes.drops import After, Experiment, Limit, StatusFilter, drop_page, listed
from function_app.http.views import DropPage, DryRunView, JobView, LiveJob
from function_app.operations.service import Kedja
from function_app.ports.metrics import RunSeries
from function_app.ports.training_service import JobStatus, LogPage

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

LOG_LIMIT = 1 << 20
"""Bytes of a log that one answer has at most."""
_NOT_SENT = frozenset({Status.WAITING, Status.QUEUED, Status.SUBMITTING})
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?|bytes=(-\d{1,15})")

Spec = Annotated[
    dict[str, Any],
    Body(
        description="The keys of a job.yaml (docs/job-yaml.md), merged over the one that was dropped (RFC 7396). "
        "`experiment_name`, the folder whose files are used, must be there.",
        openapi_examples={
            "arguments": {"value": {"experiment_name": "digits", "kedja": {"arguments": {"epochs": 20}}}},
            "as dropped": {"value": {"experiment_name": "digits"}},
        },
    ),
]
_CHANGING = answers(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_LOOKING = answers(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


@router.post(
    "",
    operation_id="submit_job",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobView,
    responses={**_CHANGING, 200: {"model": DryRunView, "description": "What would be done (dry_run)."}},
)
def submit_job(
    request: Request,
    caller: DataCaller,
    kedja: Service,
    spec: Spec,
    response: Response,
    *,
    dry_run: Annotated[bool, Query(description="Say what would be done, and do nothing.")] = False,
    force: Annotated[bool, Query(description="Train again, even what was trained already.")] = False,
) -> Response | JobView:
    """Submit what lies in an experiment's folders now.

    The answer is the job, or the drop that waits for something. Keys that decide what code runs take the role code.
    """
    experiment = spec.get("experiment_name")
    if isinstance(experiment, str) and not caller.sees(naming.slug(experiment)):
        raise NotFound(f"There is no experiment {experiment!r}.")
    if dry_run:
        run = DryRunView.of(kedja.jobs.dry_run(spec, code=caller.may_code))
        return Response(run.model_dump_json(), media_type="application/json")
    known = identity(request, caller, json.dumps(spec, sort_keys=True), str(force))
    trigger = f"http: {caller.name}"
    receipt = kedja.jobs.submit(spec, trigger=trigger, code=caller.may_code, force=force, identity=known)
    return _located(JobView.of(receipt), response)


@router.get("", operation_id="list_jobs", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def list_jobs(
    caller: DataCaller,
    kedja: Service,
    experiment: Experiment = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    after: After = None,
) -> DropPage:
    """List drops that became jobs, newest first."""
    wanted = listed(caller, status, with_job=True)
    return drop_page(kedja, wanted, experiment, caller=caller, limit=limit, after=after)


@router.get("/{name}", operation_id="get_job", responses=_LOOKING)
def get_job(caller: DataCaller, kedja: Service, name: str) -> JobView:
    """Return a job: its receipt, and while it goes on what its training service says of it now."""
    receipt = receipt_of(kedja, caller, name)
    if receipt.status in FINAL or receipt.job != name:
        return JobView.of(receipt, name)
    try:
        job = kedja.training.get(name)
        metrics = kedja.training.metrics(name) if job.status is JobStatus.RUNNING else {}
    except TrainingServiceError as error:
        return JobView.of(receipt, name, live_problem=str(error))
    return JobView.of(receipt, name, live=LiveJob.of(job, metrics))


@router.post("/{name}/cancel", operation_id="cancel_job", status_code=HTTPStatus.ACCEPTED, responses=_CHANGING)
def cancel_job(caller: DataCaller, kedja: Service, name: str, response: Response) -> JobView:
    """Cancel a job. It is `canceling` until its training service says that it has ended."""
    _check(caller, name)
    return _located(JobView.of(kedja.jobs.cancel(name)), response)


@router.post("/{name}/retry", operation_id="retry_job", status_code=HTTPStatus.ACCEPTED, responses=_CHANGING)
def retry_job(request: Request, caller: DataCaller, kedja: Service, name: str, response: Response) -> JobView:
    """Run a job that has ended once more, from its snapshot. The answer is the new job."""
    _check(caller, name)
    return _located(JobView.of(kedja.jobs.retry(name, identity=identity(request, caller))), response)


@router.get(
    "/{name}/logs",
    operation_id="get_job_log",
    response_class=Response,
    responses={
        **_LOOKING,
        200: {
            "description": "Whole lines of the log.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "headers": {
                "X-Next-Offset": {"description": "Where to read on.", "schema": {"type": "integer"}},
                "X-Complete": {"description": "true: the log will not grow.", "schema": {"type": "string"}},
            },
        },
        206: {"description": "The same, for a request with Range.", "content": {"text/plain": {}}},
        416: {"description": "Nothing is there from the Range's start on; there may be later.", "content": {}},
    },
)
def get_job_log(
    caller: DataCaller,
    kedja: Service,
    name: str,
    offset: Annotated[int, Query(description="The first byte; a negative one counts from the end.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LOG_LIMIT, description="Bytes at most.")] = LOG_LIMIT,
    range_: Annotated[str | None, Header(alias="Range", description="bytes=N- in place of offset.")] = None,
) -> Response:
    """Return a piece of a job's log, in whole lines. A log that does not exist yet is empty."""
    receipt = receipt_of(kedja, caller, name)
    match = _RANGE.fullmatch(range_.strip()) if range_ else None  # a Range that is not understood is ignored (RFC 9110)
    if match:
        offset = int(match[1] or match[3])
        if match[2]:
            limit = max(1, min(limit, int(match[2]) - offset + 1))
    page = log_page(kedja, receipt, name, offset, limit)
    return _log_response(page, offset, is_range=match is not None)


@router.get("/{name}/metrics", operation_id="get_job_metrics", responses=_LOOKING)
def get_job_metrics(
    caller: DataCaller,
    kedja: Service,
    name: str,
    points: Annotated[int, Query(ge=2, le=10_000, description="Values of each metric at most.")] = 1000,
) -> JobMetrics:
    """Return every metric that the job has logged, as a series, and its parameters."""
    receipt = receipt_of(kedja, caller, name)
    try:
        found = kedja.training.metric_series(name)
    except JobNotFound:
        if receipt.status not in _NOT_SENT:
            raise
        found = RunSeries()
    return JobMetrics.of(name, found, points)


def log_page(kedja: Kedja, receipt: Receipt, name: str, offset: int, limit: int = LOG_LIMIT) -> LogPage:
    """Return a piece of a job's log; it is empty while the training service does not know the job yet."""
    try:
        return kedja.training.logs(name, offset=offset, limit=limit)
    except JobNotFound:
        if receipt.status not in _NOT_SENT:
            raise
        return LogPage(text="", next_offset=max(offset, 0), complete=False)


def _log_response(page: LogPage, offset: int, *, is_range: bool) -> Response:
    body = page.text.encode()
    headers = {"X-Next-Offset": str(page.next_offset), "X-Complete": str(page.complete).lower()}
    if not is_range:
        return Response(body, headers={**headers, "Accept-Ranges": "bytes"}, media_type="text/plain")
    size = str(page.next_offset) if page.complete else "*"
    if not body:
        status, headers["Content-Range"] = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{page.next_offset}"
    else:
        start = offset if offset >= 0 else page.next_offset - len(body)
        status, headers["Content-Range"] = HTTPStatus.PARTIAL_CONTENT, f"bytes {start}-{page.next_offset - 1}/{size}"
    return Response(body, status, headers=headers, media_type="text/plain")


def _check(caller: Caller, name: str) -> None:
    """Raise NotFound where the caller does not see the job's experiment, as where there is no such job."""
    match = naming.JOB_NAME.fullmatch(name)
    if match is None or not caller.sees(match["experiment"]):
        raise NotFound(f"There is no job {name!r}. GET /api/jobs lists those there are.")


def receipt_of(kedja: Kedja, caller: Caller, name: str) -> Receipt:
    """Return the receipt of a job that the caller sees. Raise NotFound where there is none."""
    _check(caller, name)
    return kedja.jobs.find(name)


def _located(view: JobView, response: Response) -> JobView:
    response.headers["Location"] = view.address
    return view

"""The routes of jobs: submit, list, read, cancel and retry jobs, and read their logs and metrics."""

import json
import re
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response

from function_app.domain import naming
from function_app.domain.receipt import FINAL, Receipt, Status
from function_app.errors import JobNotFound, NotFound, TrainingServiceError
from function_app.http.auth import DataUser
from function_app.http.callers import Caller
from function_app.http.idempotent import identity
from function_app.http.metric_views import JobMetrics
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import After, Experiment, Limit, StatusFilter, drop_page, listed
from function_app.http.services import JobsDep, JobServiceDep, ReceiptsDep, SealDep
from function_app.http.views import DropPage, DryRunView, JobView, LiveJob
from function_app.operations.job_commands import JobCommands
from function_app.ports.metrics import RunSeries
from function_app.ports.training_service import JobService, JobStatus, LogPage

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

LOG_LIMIT = 1 << 20
"""Max bytes of a log in one response."""
_NOT_SENT = frozenset({Status.WAITING, Status.QUEUED, Status.SUBMITTING})
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{1,15})?|bytes=(-\d{1,15})")

Spec = Annotated[
    dict[str, Any],
    Body(
        description="Keys of a job.yaml (docs/job-yaml.md), merged into the dropped job.yaml (RFC 7396). "
        "`experiment_name`, the folder whose files are used, is required.",
        openapi_examples={
            "arguments": {"value": {"experiment_name": "digits", "kedja": {"arguments": {"epochs": 20}}}},
            "as dropped": {"value": {"experiment_name": "digits"}},
        },
    ),
]
_CHANGING = problem_responses(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE
)
_LOOKING = problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


@router.post(
    "",
    operation_id="submit_job",
    status_code=HTTPStatus.ACCEPTED,
    response_model=JobView,
    responses={**_CHANGING, 200: {"model": DryRunView, "description": "What the request would do (dry_run)."}},
)
def submit_job(
    request: Request,
    caller: DataUser,
    jobs: JobsDep,
    spec: Spec,
    response: Response,
    *,
    dry_run: Annotated[bool, Query(description="Report what the request would do, but do nothing.")] = False,
    force: Annotated[bool, Query(description="Train again even if the same content was trained before.")] = False,
) -> Response | JobView:
    """Submit the current content of an experiment's folders.

    Returns the job, or the drop if it is still waiting. Keys that decide which code runs require the role `code`.
    """
    experiment = spec.get("experiment_name")
    if isinstance(experiment, str) and not caller.can_see(naming.slug(experiment)):
        raise NotFound(f"There is no experiment {experiment!r}.")
    if dry_run:
        run = DryRunView.of(jobs.dry_run(spec, code=caller.can_run_code))
        return Response(run.model_dump_json(), media_type="application/json")
    known = identity(request, caller, json.dumps(spec, sort_keys=True), str(force))
    trigger = f"http: {caller.name}"
    receipt = jobs.submit(spec, trigger=trigger, code=caller.can_run_code, force=force, identity=known)
    return _located(JobView.of(receipt), response)


@router.get("", operation_id="list_jobs", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
def list_jobs(
    caller: DataUser,
    receipts: ReceiptsDep,
    seal: SealDep,
    experiment: Experiment = None,
    status: StatusFilter = None,
    limit: Limit = 50,
    after: After = None,
) -> DropPage:
    """List drops that became jobs, newest first."""
    wanted = listed(caller, status, with_job=True)
    return drop_page(receipts, wanted, experiment, caller=caller, seal=seal, limit=limit, after=after)


@router.get("/{name}", operation_id="get_job", responses=_LOOKING)
def get_job(caller: DataUser, jobs: JobsDep, service: JobServiceDep, name: str) -> JobView:
    """Return a job: its receipt and, until it has ended, its current state in the training service."""
    receipt = receipt_of(jobs, caller, name)
    if receipt.status in FINAL or receipt.job != name:
        return JobView.of(receipt, name)
    try:
        job = service.get(name)
        metrics = service.metrics(name) if job.status is JobStatus.RUNNING else {}
    except TrainingServiceError as error:
        return JobView.of(receipt, name, live_problem=str(error))
    return JobView.of(receipt, name, live=LiveJob.of(job, metrics))


@router.post("/{name}/cancel", operation_id="cancel_job", status_code=HTTPStatus.ACCEPTED, responses=_CHANGING)
def cancel_job(caller: DataUser, jobs: JobsDep, name: str, response: Response) -> JobView:
    """Cancel a job. It is `canceling` until the training service reports that it has ended."""
    _check(caller, name)
    return _located(JobView.of(jobs.cancel(name)), response)


@router.post("/{name}/retry", operation_id="retry_job", status_code=HTTPStatus.ACCEPTED, responses=_CHANGING)
def retry_job(request: Request, caller: DataUser, jobs: JobsDep, name: str, response: Response) -> JobView:
    """Run an ended job again from its snapshot. Returns the new job."""
    _check(caller, name)
    return _located(JobView.of(jobs.retry(name, identity=identity(request, caller))), response)


@router.get(
    "/{name}/logs",
    operation_id="get_job_log",
    response_class=Response,
    responses={
        **_LOOKING,
        200: {
            "description": "Part of the log, in whole lines.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
            "headers": {
                "X-Next-Offset": {"description": "The `offset` of the next part.", "schema": {"type": "integer"}},
                "X-Complete": {"description": "true: the log will not grow.", "schema": {"type": "string"}},
            },
        },
        206: {"description": "The same, for a request with Range.", "content": {"text/plain": {}}},
        416: {"description": "The log ends before the Range's start; it may still grow.", "content": {}},
    },
)
def get_job_log(
    caller: DataUser,
    jobs: JobsDep,
    service: JobServiceDep,
    name: str,
    offset: Annotated[int, Query(description="The first byte; a negative offset counts from the end.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LOG_LIMIT, description="Max bytes.")] = LOG_LIMIT,
    range_: Annotated[str | None, Header(alias="Range", description="bytes=N- instead of offset.")] = None,
) -> Response:
    """Return part of a job's log, in whole lines. If the log does not exist yet, the part is empty."""
    receipt = receipt_of(jobs, caller, name)
    match = _RANGE.fullmatch(range_.strip()) if range_ else None  # an unsupported Range is ignored (RFC 9110)
    if match:
        offset = int(match[1] or match[3])
        if match[2]:
            limit = max(1, min(limit, int(match[2]) - offset + 1))
    page = log_page(service, receipt, name, offset, limit)
    return _log_response(page, offset, is_range=match is not None)


@router.get("/{name}/metrics", operation_id="get_job_metrics", responses=_LOOKING)
def get_job_metrics(
    caller: DataUser,
    jobs: JobsDep,
    service: JobServiceDep,
    name: str,
    points: Annotated[int, Query(ge=2, le=10_000, description="Max values of each metric.")] = 1000,
) -> JobMetrics:
    """Return every metric that the job has logged, as a series, and its parameters."""
    receipt = receipt_of(jobs, caller, name)
    try:
        found = service.metric_series(name)
    except JobNotFound:
        if receipt.status not in _NOT_SENT:
            raise
        found = RunSeries()
    return JobMetrics.of(name, found, points)


def log_page(service: JobService, receipt: Receipt, name: str, offset: int, limit: int = LOG_LIMIT) -> LogPage:
    """Return part of a job's log; it is empty until the training service knows the job.

    Raises:
        JobNotFound: the training service does not know a job that was submitted.
    """
    try:
        return service.logs(name, offset=offset, limit=limit)
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
    """Raise NotFound, as for a job that does not exist, if the caller may not see the job's experiment."""
    match = naming.JOB_NAME.fullmatch(name)
    if match is None or not caller.can_see(match["experiment"]):
        raise NotFound(f"There is no job {name!r}. GET /api/jobs lists all jobs.")


def receipt_of(jobs: JobCommands, caller: Caller, name: str) -> Receipt:
    """Return the receipt of a job.

    Raises:
        NotFound: there is no such job, or the caller may not see it.
    """
    _check(caller, name)
    return jobs.find(name)


def _located(view: JobView, response: Response) -> JobView:
    response.headers["Location"] = view.address
    return view

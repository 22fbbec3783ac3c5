"""The routes of experiments: list and delete them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.errors import NotFound
from function_app.http.auth import READS_AT_ONCE, CodeUser, DataUser
from function_app.http.callers import Caller
from function_app.http.paging.position import PageToken
from function_app.http.paging.sealing import Seal
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import After, experiment_name, seal_for
from function_app.http.services import ExperimentsDep, LookupDep, SealDep
from function_app.operations.experiments import Experiments
from function_app.store.deletions import DeletedModel, Deletion, DeletionState, RetainedFiles
from function_app.store.latest_drop import LatestDrop

router = APIRouter(prefix="/api/experiments", tags=["experiments"])

MOST = 100
MOST_READS = 3
"""Max parts of the list of all experiments, of 5,000 names each, that are read for one page."""


class ExperimentView(BaseModel):
    """An experiment and its latest drop. `model` is `<model>:<version>`; while `deleting`, drops are not processed."""

    experiment: str
    folder: str
    drop: str
    status: Status | None
    received_at: datetime | None
    newest_upload: datetime
    job: str | None
    model: str | None
    deleting: bool

    @classmethod
    def of(cls, latest: LatestDrop, told: Mapping[str, str], *, deleting: bool) -> Self:
        """View an experiment by its latest drop, and the metadata of the drop's receipt."""
        return cls(
            experiment=latest.experiment,
            folder=latest.folder,
            drop=latest.drop,
            status=Status(told["status"]) if "status" in told else None,
            received_at=datetime.fromisoformat(told["received"]) if "received" in told else None,
            newest_upload=latest.newest_upload,
            job=told.get("job"),
            model=told.get("model"),
            deleting=deleting,
        )


class ExperimentPage(BaseModel):
    """Part of a list, sorted by name. Send `next` as `after` to get the next page; null is the end."""

    items: Sequence[ExperimentView]
    next: str | None


class Deletes(BaseModel):
    """What is deleted: receipts, snapshot files with their size in bytes, and model versions."""

    receipts: int
    snapshot_files: int
    snapshot_size: int
    models: Sequence[DeletedModel]


class DeletionView(BaseModel):
    """A deletion. `keeps` are model versions in use; `leaves` are files that their owners may delete.

    `audit` is the blob with the permanent record, once the state is `deleted`. `jobs` have not ended yet.
    """

    experiment: str
    folder: str
    state: DeletionState
    by: str
    at: datetime
    done_at: datetime | None
    deletes: Deletes
    keeps: Sequence[DeletedModel]
    leaves: Sequence[RetainedFiles]
    jobs: Sequence[str]
    audit: str

    @classmethod
    def of(cls, deletion: Deletion, *, receipts: int | None = None, jobs: Sequence[str] = ()) -> Self:
        """View a deletion, with the number of receipts if it is only planned."""
        return cls(
            experiment=deletion.experiment,
            folder=deletion.folder,
            state=deletion.state,
            by=deletion.by,
            at=deletion.at,
            done_at=deletion.done_at,
            deletes=Deletes(
                receipts=len(deletion.receipts) if receipts is None else receipts,
                snapshot_files=deletion.snapshot_files,
                snapshot_size=deletion.snapshot_size,
                models=deletion.models,
            ),
            keeps=deletion.kept,
            leaves=deletion.left,
            jobs=jobs,
            audit=f"{naming.RECEIPTS}/{deletion.audit}",
        )


@router.get("", operation_id="list_experiments", responses=problem_responses(HTTPStatus.SERVICE_UNAVAILABLE))
def list_experiments(
    caller: DataUser,
    experiments: ExperimentsDep,
    lookup: LookupDep,
    seal: SealDep,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Max items.")] = 50,
    after: After = None,
) -> ExperimentPage:
    """List experiments by name, each with its latest drop. A page may have few items, or none, before the end."""
    page, following = _names_behind(caller, experiments, limit, after, seal_for(caller, seal))
    deleting = experiments.deleting()

    def view(name: str) -> ExperimentView | None:
        found = lookup.latest(name)
        return ExperimentView.of(*found, deleting=name in deleting) if found else None

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        items = [item for item in pool.map(view, page) if item]
    return ExperimentPage(items=items, next=following)


def _names_behind(
    caller: Caller, experiments: Experiments, limit: int, after: str | None, seal: Seal | None
) -> tuple[list[str], str | None]:
    """Return up to `limit` names that the caller may see, and the token of the next page, or None at the end."""
    if only := caller.only_experiment:
        return [only], None
    position = PageToken.decoded(after, seal)
    found: list[str] = []
    last, token = position.last, position.token
    for _ in range(MOST_READS):
        with position.followed():
            folders = experiments.page(token=token)
        for name in folders.names:
            if name <= last:
                continue
            if len(found) == limit:
                return found, PageToken(token=token, last=last).encoded(seal)
            last = name
            if caller.can_see(name):
                found.append(name)
        token = folders.token
        if token is None:
            return found, None
    return found, PageToken(token=token, last=last).encoded(seal)


@router.delete(
    "/{name}",
    operation_id="delete_experiment",
    status_code=HTTPStatus.ACCEPTED,
    responses={
        200: {"model": DeletionView, "description": "Nothing to do: a dry run, or it is already deleted."},
        **problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def delete_experiment(
    caller: CodeUser,
    experiments: ExperimentsDep,
    response: Response,
    name: str,
    *,
    dry_run: Annotated[bool, Query(description="Report what would be deleted, but delete nothing.")] = False,
    force: Annotated[bool, Query(description="Cancel jobs that have not ended, instead of refusing.")] = False,
) -> DeletionView:
    """Delete an experiment's receipts, snapshots, and models that are not in use.

    From now on its drops are not processed; the deletion takes up to a quarter of an hour. The files in `data` and
    `scripts` belong to their owners: they stay, and are not a drop again until a later file is uploaded. `name` is the
    folder's name or the name in receipts. Repeat the request to see the progress.
    """
    slug = experiment_name(name)
    if not caller.can_see(slug) or slug == naming.ROOT_EXPERIMENT:
        raise NotFound(f"There is no experiment {name!r}. GET /api/experiments lists all experiments.")
    if dry_run:
        plan = experiments.plan(slug, by=caller.name)
        response.status_code = HTTPStatus.OK
        return DeletionView.of(plan.deletion, receipts=plan.receipts, jobs=plan.live)
    deletion = experiments.delete(slug, by=caller.name, force=force)
    if deletion.state is DeletionState.DELETED:
        response.status_code = HTTPStatus.OK
    return DeletionView.of(deletion)

"""The routes of models: list versions and their files, and change the champion."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.errors import NotFound, Refused
from function_app.http.auth import READS_AT_ONCE, CodeUser, DataUser
from function_app.http.callers import Caller
from function_app.http.idempotent import identity
from function_app.http.paging.models import model_page
from function_app.http.paging.position import InvalidToken, PageToken
from function_app.http.problems import problem_responses
from function_app.http.routes.drops import After, seal_for
from function_app.http.services import ExperimentsDep, ModelsDep, SealDep
from function_app.http.views import ModelDetail, ModelList, ModelView
from function_app.models.artifacts import ModelManifest
from function_app.models.catalogue import ModelCatalogue
from function_app.models.champion import Champion
from function_app.models.downloads import Download
from function_app.ports.training_service import RECEIPT_TAG

router = APIRouter(prefix="/api/models", tags=["models"])

MOST = 1000
_VERSION = re.compile(r"[0-9]{1,18}")
_COUNT = re.compile(r"[0-9]{1,9}")
_ANSWERS = problem_responses(HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
_CHANGING = problem_responses(
    HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE
)

Limit = Annotated[int, Query(ge=1, le=MOST, description="Max items.")]
Reason = Annotated[str | None, Field(min_length=1, max_length=500, description="For the champion's history.")]


class ModelManifestView(ModelManifest):
    """`manifest.json` of a model version: its files, with sizes and hashes, and its lineage."""

    champion: bool


class FileLink(BaseModel):
    """A file of a model version. `size` in bytes, `sha256` in hex, or else `md5` in Base64; the link is a secret."""

    path: str
    size: int
    sha256: str | None
    md5: str | None
    url: str
    expires_at: datetime

    @classmethod
    def of(cls, download: Download) -> Self:
        """View a file and its link."""
        file = download.file
        return cls(
            path=file.path,
            size=file.size,
            sha256=file.sha256,
            md5=download.md5,
            url=download.url,
            expires_at=download.expires,
        )


class FileLinks(BaseModel):
    """Files of a model version. Send `next` as `after` to get the next page; null is the end."""

    model: str
    version: str
    items: Sequence[FileLink]
    next: str | None


class Promotion(BaseModel):
    """The version to make the champion."""

    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$", examples=["1"])]
    reason: Reason = None


class Rollback(BaseModel):
    """Why to restore the previous champion."""

    reason: Reason = None


@router.get(
    "", operation_id="list_models", responses=problem_responses(HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)
)
def list_models(
    caller: DataUser,
    models: ModelsDep,
    experiments: ExperimentsDep,
    seal: SealDep,
    limit: Limit = 200,
    after: After = None,
) -> ModelList:
    """List the registered versions of all models, highest first. A page may have few, or none, before the end."""
    used = seal_for(caller, seal)
    position, only = PageToken.decoded(after, used), caller.only_experiment
    names = sorted(experiments.models(only)) if only else models.names()
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        page = model_page(
            models.service,
            names,
            lambda one: _sees(caller, one.tags.get(RECEIPT_TAG, "")),
            pool,
            limit=limit,
            after=position,
            at_once=READS_AT_ONCE,
        )
        named = list({one.model: None for one in page.versions})
        champions = dict(zip(named, pool.map(models.champions.find, named), strict=True))
    return ModelList(
        items=[ModelView.of(one, champions[one.model]) for one in page.versions],
        next=page.end.encoded(used) if page.end else None,
    )


@router.get("/{model}", operation_id="get_model", responses=_ANSWERS)
def get_model(caller: DataUser, models: ModelsDep, model: str) -> ModelDetail:
    """Return a model: its champion, which consumers should use, and its versions."""
    seen = [one for one in models.versions(model) if _sees(caller, one.tags.get(RECEIPT_TAG, ""))]
    if not seen:
        raise _no_model(model)
    champion = _champion(caller, models, model)
    return ModelDetail(model=model, champion=champion, versions=[ModelView.of(one, champion) for one in seen])


@router.get("/{model}/{version}", operation_id="get_model_version", responses=_ANSWERS)
def get_model_version(caller: DataUser, models: ModelsDep, model: str, version: str) -> ModelManifestView:
    """Return the manifest of a version, once all its files are copied. `version` is a number, or `champion`."""
    manifest, champion = _manifest(caller, models, model, version)
    is_champion = champion is not None and champion.version == manifest.model_version
    return ModelManifestView(**dict(manifest), champion=is_champion)


@router.get("/{model}/{version}/files", operation_id="list_model_files", responses=_ANSWERS)
def list_model_files(
    caller: DataUser, models: ModelsDep, model: str, version: str, limit: Limit = 200, after: After = None
) -> FileLinks:
    """List a version's files, each with a download link. `version` is a number, or `champion`.

    `next` continues with the files of the same version, even if another version has become the champion meanwhile.
    """
    started, start = _files_after(after) if after else (version, 0)
    manifest, _ = _manifest(caller, models, model, started if version == "champion" else version)
    found = models.links(manifest, start=start, limit=limit)
    end = start + len(found)
    place = PageToken(token=manifest.model_version, last=str(end)) if end < len(manifest.files) else None
    return FileLinks(
        model=manifest.model,
        version=manifest.model_version,
        items=[FileLink.of(download) for download in found],
        next=place.encoded() if place else None,
    )


def _files_after(after: str) -> tuple[str, int]:
    """Return the version whose files are listed, and how many were listed. Raise InvalidToken for any other text."""
    place = PageToken.decoded(after)
    if place.token is None or not _VERSION.fullmatch(place.token) or not _COUNT.fullmatch(place.last):
        raise InvalidToken(f"after: {after[:80]!r} is not the `next` of an earlier response.")
    return place.token, int(place.last)


@router.put("/{model}/champion", operation_id="promote_model", responses=_CHANGING)
def promote_model(request: Request, caller: CodeUser, models: ModelsDep, model: str, promotion: Promotion) -> Champion:
    """Make a version the champion, even if it fails the gate. The caller must be able to act for the model's owner."""
    manifest, _ = _manifest(caller, models, model, promotion.version)
    owns = _owns(caller, models, model)
    made = models.promote(
        model,
        manifest,
        may_replace=lambda _present: owns,
        wish=models.wish(by=caller.name, reason=promotion.reason, request=identity(request, caller, promotion.version)),
    )
    return _shown(caller, made)


@router.post("/{model}/champion/rollback", operation_id="roll_back_model", responses=_CHANGING)
def roll_back_model(
    request: Request, caller: CodeUser, models: ModelsDep, model: str, rollback: Rollback | None = None
) -> Champion:
    """Make the previous champion the champion again.

    Callers who may act for the model's owner can always do this; others only between versions of their own experiments.
    """
    champion = models.champion(model)
    owns = champion is not None and _owns(caller, models, model)
    if champion is None or not (owns or _sees(caller, champion.receipt)):
        raise _no_model(model)

    def may_use(manifest: ModelManifest) -> bool:
        if _sees(caller, manifest.receipt):
            return True
        if owns:
            return False
        raise Refused(
            f"The previous champion of {model} is not from an experiment of yours. Ask somebody who may act for the "
            "model's owner."
        )

    again = models.roll_back(
        model,
        may_use=may_use,
        may_replace=lambda present: owns or _sees(caller, present.receipt),
        wish=models.wish(
            by=caller.name, reason=rollback.reason if rollback else None, request=identity(request, caller)
        ),
    )
    return _shown(caller, again)


def _owns(caller: Caller, models: ModelCatalogue, model: str) -> bool:
    """Return whether the caller may act for the experiment that owns a model."""
    if caller.sees_everything:
        return True
    owner = models.owner(model)
    return owner is not None and caller.can_see(owner)


def _manifest(
    caller: Caller, models: ModelCatalogue, model: str, version: str
) -> tuple[ModelManifest, Champion | None]:
    """Return the manifest of a version that the caller sees, and the champion. Raise NotFound if there is none."""
    missing = NotFound(f"There is no version {version!r} of a model {model!r}, or its files are not all copied yet.")
    if not naming.MODEL_NAME.fullmatch(model):
        raise missing
    champion = _champion(caller, models, model)
    if version == "champion" and champion:
        version = champion.version
    if not _VERSION.fullmatch(version):
        raise missing
    manifest = models.manifest(model, version)
    if manifest is None or not _sees(caller, manifest.receipt):
        raise missing
    return manifest, champion


def _no_model(model: str) -> NotFound:
    return NotFound(f"There is no model {model!r}, or it has no champion. GET /api/models lists all models.")


def _champion(caller: Caller, models: ModelCatalogue, model: str) -> Champion | None:
    champion = models.champion(model)
    return _shown(caller, champion) if champion and _sees(caller, champion.receipt) else None


def _shown(caller: Caller, champion: Champion) -> Champion:
    """Return a champion without other experiments' versions in its history, and without the identities of requests."""
    hidden = {"request": None}
    seen = [tenure.model_copy(update=hidden) for tenure in champion.history if _sees(caller, tenure.receipt)]
    owner = champion.owner if champion.owner and caller.can_see(champion.owner) else None
    return champion.replace(**hidden, history=tuple(seen), owner=owner)


def _sees(caller: Caller, receipt: str) -> bool:
    """Return whether the caller may see a receipt, `<experiment>/<drop>`, or a model without a receipt."""
    ref = DropRef.parse(receipt)
    return caller.can_see(ref.experiment) if ref else caller.sees_everything

"""The routes of models: which versions there are, and what they consist of."""

import re
from http import HTTPStatus

from fastapi import APIRouter

from function_app import names
from function_app.artifacts import MODEL_MANIFEST, ModelManifest
from function_app.callers import Caller
from function_app.champion import Champion
from function_app.errors import BlobNotFound, NotFound
from function_app.http_access import DataCaller, Service
from function_app.kedja import Kedja
from function_app.problems import answers
from function_app.training_service import RECEIPT_TAG
from function_app.views import ModelDetail, ModelList, ModelView

router = APIRouter(prefix="/api/models", tags=["models"])

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_VERSION = re.compile(r"[0-9]{1,18}")
_ANSWERS = answers(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE)


class ModelManifestView(ModelManifest):
    """`manifest.json` of a model version: its files, with sizes and hashes, and what it came of."""

    champion: bool


@router.get("", operation_id="list_models", responses=answers(HTTPStatus.SERVICE_UNAVAILABLE))
def list_models(caller: DataCaller, kedja: Service) -> ModelList:
    """List the registered versions of every model."""
    views = _views(caller, kedja, None)
    return ModelList(items=sorted(views, key=lambda view: (view.model, -int(view.version))))


@router.get("/{model}", operation_id="get_model", responses=_ANSWERS)
def get_model(caller: DataCaller, kedja: Service, model: str) -> ModelDetail:
    """Return a model: its champion, which consumers are to use, and its versions."""
    views = _views(caller, kedja, model) if _MODEL.fullmatch(model) else []
    if not views:
        raise NotFound(f"There is no model {model!r}. GET /api/models lists those there are.")
    return ModelDetail(model=model, champion=_champion(caller, kedja, model), versions=views)


@router.get("/{model}/{version}", operation_id="get_model_version", responses=_ANSWERS)
def get_model_version(caller: DataCaller, kedja: Service, model: str, version: str) -> ModelManifestView:
    """Return what a version consists of, once all of it is copied. `version` is a number, or `champion`."""
    missing = NotFound(f"There is no version {version!r} of a model {model!r}, or its files are not all copied yet.")
    if not _MODEL.fullmatch(model):
        raise missing
    champion = _champion(caller, kedja, model)
    if version == "champion" and champion:
        version = champion.version
    if not _VERSION.fullmatch(version):
        raise missing
    try:
        blob = kedja.blobs.read(names.MODELS, f"{names.model_prefix(model, version)}{MODEL_MANIFEST}")
    except BlobNotFound:
        raise missing from None
    manifest = ModelManifest.decoded(blob.data)
    if not _sees(caller, manifest.receipt):
        raise missing
    return ModelManifestView(**dict(manifest), champion=champion is not None and champion.version == version)


def _views(caller: Caller, kedja: Kedja, model: str | None) -> list[ModelView]:
    versions = [one for one in kedja.training.models(model) if _sees(caller, one.tags.get(RECEIPT_TAG, ""))]
    champions = {name: kedja.champions.find(name) for name in {one.model for one in versions}}
    return [ModelView.of(one, champions[one.model]) for one in versions]


def _champion(caller: Caller, kedja: Kedja, model: str) -> Champion | None:
    champion = kedja.champions.find(model)
    return champion if champion and _sees(caller, champion.receipt) else None


def _sees(caller: Caller, receipt: str) -> bool:
    """Return whether a receipt, `<experiment>/<drop>`, is the caller's business; without one a model is everyone's."""
    experiment = receipt.partition("/")[0]
    return caller.sees(experiment) if experiment else caller.sees_everything

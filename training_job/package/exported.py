"""What the script's process exported of the model, with notes for the receipt, and whether job.yaml is satisfied."""

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from training_job.errors import ExportError
from training_job.export import exports
from training_job.export.exports import Exports, Failure
from training_job.export.options import Onnx, Options
from training_job.job import Job
from training_job.launcher.run_log import Records
from training_job.package import weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelExport:
    """What was exported of the model. `lack` is why the job has to fail, if job.yaml requires more."""

    exports: Exports = field(default_factory=Exports)
    options: Options = field(default_factory=Options)
    lack: str | None = None


def clear(job: Job) -> None:
    """Remove what an earlier start of the job exported."""
    shutil.rmtree(job.state / exports.FOLDER, ignore_errors=True)


def read(job: Job, records: Records, model: str | None) -> ModelExport:
    """Return what was exported of the model, and add notes about it. `model` is its path below `outputs`."""
    if model is None:
        return ModelExport()
    options = Options()
    try:
        options = Options.from_environment()
        found = exports.read(job.state) if options.onnx is not Onnx.NEVER else None
    except ExportError as error:
        found = Exports((), (Failure(link="The model", reason=str(error)),))
    chosen = _of_model(found or Exports(), job.outputs / model)
    for note in notes(chosen):
        records.note(note)
        logger.info("%s", note)
    lack = _lack(chosen) if options.onnx is Onnx.REQUIRED else None
    return ModelExport(exports=chosen, options=options, lack=lack)


def notes(found: Exports) -> list[str]:
    """Return a sentence about each network that was exported, and each that could not be."""
    return [network.sentence for network in found.networks] + [describe(failure) for failure in found.failures]


def describe(failure: Failure) -> str:
    """Return a sentence about what could not be exported."""
    return f"{failure.link} could not be exported as ONNX: {failure.reason}."


def _lack(found: Exports) -> str | None:
    """Return why an export is not what job.yaml requires."""
    if found.failures:
        return f"job.yaml requires an export as ONNX: {describe(found.failures[0])}"
    bad = next((network for network in found.networks if not network.verified), None)
    if bad is not None:
        return f"job.yaml requires an export as ONNX: {bad.sentence}"
    return None if found.networks else "job.yaml requires an export as ONNX, and the script's process made none"


def _of_model(found: Exports, model: Path) -> Exports:
    """Return the networks that have the weights of the model, and the Links of its files that could not be exported.

    Without such a network these are all Links.
    """
    files = weights.files_of(model)
    networks = weights.networks_of(found, files)
    if not networks:
        return Exports((), found.failures)
    names = {path.name for path in (*files, *(one.source.path for one in networks))}
    return Exports(
        networks, tuple(one for one in found.failures if one.source is not None and one.source.name in names)
    )

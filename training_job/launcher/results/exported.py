"""Puts the networks that the script's process exported into `outputs`, with notes for the receipt."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from training_job.errors import ExportError
from training_job.export import exports
from training_job.export.exports import ExportedNetwork, Exports, Failure, Source
from training_job.export.options import Onnx, Options
from training_job.job import Job
from training_job.launcher.results import saved_files
from training_job.launcher.run_log import Records

FOLDER = "onnx"
_PLACED = "exported-to"
_MOST_HASHED = 1000

logger = logging.getLogger(__name__)


def clear(job: Job) -> None:
    """Remove what an earlier start of the job exported."""
    place = job.state / _PLACED
    if place.is_file():
        shutil.rmtree(job.outputs / place.read_text(encoding="utf-8"), ignore_errors=True)
        place.unlink()
    shutil.rmtree(job.state / exports.FOLDER, ignore_errors=True)


def place(job: Job, records: Records, model: str | None) -> str | None:
    """Copy the networks of the model to `outputs/onnx`, and add notes. `model` is its path below `outputs`.

    Returns why the job has to fail, if job.yaml requires an export and there is none that is verified; else None.
    """
    if model is None:
        return None
    options = Options()
    try:
        options = Options.from_environment()
        found = exports.read(job.state) if options.onnx is not Onnx.NEVER else None
    except ExportError as error:
        found = Exports((), (Failure(link="The model", reason=str(error)),))
    chosen = _of_model(found or Exports(), job.outputs / model)
    _copy(job, chosen.networks)
    for note in [network.sentence for network in chosen.networks] + [describe(one) for one in chosen.failures]:
        records.note(note)
        logger.info("%s", note)
    return _lack(chosen) if options.onnx is Onnx.REQUIRED else None


def _lack(found: Exports) -> str | None:
    """Return why an export is not what job.yaml requires."""
    if found.failures:
        return f"job.yaml requires an export as ONNX: {describe(found.failures[0])}"
    bad = next((network for network in found.networks if not network.verified), None)
    if bad is not None:
        return f"job.yaml requires an export as ONNX: {bad.sentence}"
    return None if found.networks else "job.yaml requires an export as ONNX, and the script's process made none"


def describe(failure: Failure) -> str:
    """Return a sentence about what could not be exported."""
    return f"{failure.link} could not be exported as ONNX: {failure.reason}."


def _of_model(found: Exports, model: Path) -> Exports:
    """Return what belongs to the model: by the content of its files, else everything, as for a part of a snapshot."""
    files = list(saved_files.files_in(model))[:_MOST_HASHED] if model.is_dir() else [model]
    networks: list[ExportedNetwork] = []
    for file in files:
        networks += [one for one in found.of_file(Source.of_file(file).sha256) if one not in networks]
    if not networks:
        return found
    names = {one.source.path for one in networks} | {Path(file.name) for file in files}
    failures = [one for one in found.failures if one.source in names or (one.source and Path(one.source.name) in names)]
    return Exports(tuple(one for one in found.networks if one in networks), tuple(failures))


def _copy(job: Job, networks: Sequence[ExportedNetwork]) -> None:
    if not networks:
        return
    names = (f"{FOLDER}{'' if n == 1 else n}" for n in range(1, 1000))
    name = next(name for name in names if not (job.outputs / name).exists())
    (job.outputs / name).mkdir()
    (job.state / _PLACED).write_text(name, encoding="utf-8")
    for network in networks:
        for file in network.files:
            shutil.copyfile(file, job.outputs / name / file.name)

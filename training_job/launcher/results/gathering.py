"""What is done with the files of a script that has ended: they are collected, and the model among them is chosen."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training_job import manifest, mpi_env
from training_job.job import Job
from training_job.launcher.results import collection, model_choice, saved_files
from training_job.launcher.results.collection import shown
from training_job.launcher.results.model_choice import Leavings
from training_job.launcher.results.saved_files import SavedFile
from training_job.launcher.run_log import Reader, Records

logger = logging.getLogger(__name__)

_FILES_NAMED = 20


@dataclass(frozen=True)
class FoundModel:
    """The path of the model below `outputs`, and why it is that one. Without a model, what the script wrote instead.

    Both are None if the script failed.
    """

    path: str | None = None
    reason: str | None = None


def gather(job: Job, records: Records, *, completed: bool) -> FoundModel:
    """Collect what the script left, add notes about that, and return the model if the script has `completed`.

    No error is raised: a job whose files cannot be collected has an outcome all the same.
    """
    try:
        return _gather(job, records, completed=completed)
    except Exception as error:
        logger.exception("what the script left could not be collected")
        records.note(f"What the script left outside of outputs could not be collected: {error}")
        return FoundModel()


def _gather(job: Job, records: Records, *, completed: bool) -> FoundModel:
    collection.remove_earlier(job)
    own = [path for path in saved_files.files_in(job.outputs) if path != job.outputs / manifest.NAME]
    all_records, outs = _of_all_ranks(job, records)
    all_records = [_with_outputs_path(job, record) for record in all_records]
    saved = saved_files.find(all_records, [job.folder, *([job.outputs] if job.outputs.is_symlink() else []), *outs])
    collected = collection.collect(job, saved, outs, model_choice.last_links(saved))
    left = Leavings(job=job, saved=saved, own=own, collected=collected.files)
    choice = model_choice.choose(left) if completed else None
    collection.remember_collected(job, [*collected.files.values(), *(choice.made if choice else ())])
    for note in collected.notes:
        records.note(note)
    if choice is not None:
        return FoundModel(choice.path.relative_to(job.outputs).as_posix(), choice.reason(job.outputs))
    return FoundModel(reason=_without_model(job, all_records, left)) if completed else FoundModel()


def _of_all_ranks(job: Job, records: Records) -> tuple[list[SavedFile], dict[Path, bool]]:
    """Return the records of all ranks of this node, those of this rank last, as its model counts."""
    saved: list[SavedFile] = []
    outs = dict(records.outs)
    for rank in range(1, mpi_env.size()):
        reader = Reader(job.records(rank))
        reader.read()
        saved += reader.records.saved
        for folder, is_new in reader.records.outs.items():
            outs.setdefault(folder, is_new)
    return [*saved, *records.saved], outs


def _with_outputs_path(job: Job, record: SavedFile) -> SavedFile:
    """Return the record of a file in `outputs` with its path there, also if `outputs` is a link to another folder."""
    outputs = os.path.realpath(job.outputs)
    if not record.path.is_relative_to(outputs):
        return record
    return replace(record, path=job.outputs / record.path.relative_to(outputs))


def _without_model(job: Job, records: Sequence[SavedFile], left: Leavings) -> str:
    """Return a sentence about what a script without a model wrote outside of `outputs`."""
    if records and not left.saved:
        return f"The script saved a Link to {shown(job, records[-1].path)}, where no complete file is any more."
    elsewhere = [shown(job, path) for path in collection.written(job) if path not in left.collected]
    if not elsewhere:
        return "The script saved no Link, and wrote nothing outside of outputs."
    more = f" and {len(elsewhere) - _FILES_NAMED} more" if len(elsewhere) > _FILES_NAMED else ""
    return f"The script saved no Link, and outside of outputs it wrote: {', '.join(elsewhere[:_FILES_NAMED])}{more}."

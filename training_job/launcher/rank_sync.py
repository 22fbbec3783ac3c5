"""Synchronizes the ranks of one node: the first prepares the working directory, the others wait for it."""

import json
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from training_job import mpi_env
from training_job.atomic_write import write_json
from training_job.errors import TrainingJobError

logger = logging.getLogger(__name__)

_LAUNCH_ID_VARIABLES = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_JOBID", "SLURM_STEP_ID")
"""Variables that identify a start of mpirun; not every version sets them."""

_POLL_SECONDS = 0.1
_TIMEOUT_SECONDS = 3600.0


class PreparationError(TrainingJobError):
    """The first rank of the node could not prepare the job; the message is that rank's error."""


def prepare_once(state: Path, prepare: Callable[[], Path | None]) -> Path | None:
    """Call `prepare` in the first rank of the node, and return its result, the data folder, in every rank.

    Raises:
        PreparationError: In the other ranks, if the first one failed.
        TrainingJobError: In the first rank, if `prepare` raises it.
    """
    if mpi_env.size() == 1:
        return prepare()
    start = next((os.environ[name] for name in _LAUNCH_ID_VARIABLES if name in os.environ), "mpi")
    marker = state / f"prepared-{re.sub(r'[^A-Za-z0-9]', '-', start)}.json"
    if mpi_env.local_rank() > 0:
        return _wait(marker)
    try:
        data = prepare()
    except Exception as error:
        write_json(marker, {"error": str(error)})
        raise
    write_json(marker, {"data": None if data is None else str(data)})
    return data


def _wait(marker: Path) -> Path | None:
    until = time.monotonic() + _TIMEOUT_SECONDS
    while not marker.exists():
        if time.monotonic() > until:
            raise PreparationError(f"rank {mpi_env.rank()} waited an hour for the first rank of its node")
        time.sleep(_POLL_SECONDS)
    document = json.loads(marker.read_text(encoding="utf-8"))
    if "error" in document:
        raise PreparationError(document["error"])
    return None if document["data"] is None else Path(document["data"])

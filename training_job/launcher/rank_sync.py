"""What the ranks of one node share: the first prepares the working directory, the others wait for it."""

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
"""What tells one start of mpirun from another, where it says so."""

_POLL_SECONDS = 0.1
_TIMEOUT_SECONDS = 3600.0


class PreparationError(TrainingJobError):
    """The first rank of the node could not prepare the job; its own message says why."""


def prepare_once(state: Path, prepare: Callable[[], Path | None]) -> Path | None:
    """Return the data folder that `prepare` returns, called by the first rank of the node alone.

    Raises:
        PreparationError: In the other ranks, where the first one could not prepare.
        TrainingJobError: In the first one, whatever `prepare` raises.
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

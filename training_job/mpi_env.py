"""This process' rank in an MPI job, from the environment variables that Open MPI and MPICH set."""

import os

_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")


def rank() -> int:
    """Return this process' rank, from 0; 0 without mpirun."""
    return _first(_RANK, 0)


def size() -> int:
    """Return the number of ranks; 1 without mpirun."""
    return _first(_SIZE, 1)


def local_rank() -> int:
    """Return this process' rank on its node, from 0."""
    return _first(_LOCAL_RANK, rank())


def _first(names: tuple[str, ...], default: int) -> int:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdigit()), default)

"""Which of the processes that mpirun started this one is, by the variables that Open MPI and MPICH set."""

import os

_RANK = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")
_SIZE = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_LOCAL_RANK = ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")


def rank() -> int:
    """Return this process' number, from 0; 0 where mpirun did not start it."""
    return _first(_RANK, 0)


def size() -> int:
    """Return how many processes there are; 1 where mpirun did not start this one."""
    return _first(_SIZE, 1)


def local_rank() -> int:
    """Return this process' number among those of its node, from 0."""
    return _first(_LOCAL_RANK, rank())


def _first(names: tuple[str, ...], default: int) -> int:
    return next((int(value) for name in names if (value := os.environ.get(name, "")).isdigit()), default)

"""ChainerMN under mpirun."""

import contextlib
from collections.abc import Iterator
from types import ModuleType

from training_job import mpi_env


@contextlib.contextmanager
def abort_all_ranks(module: ModuleType) -> Iterator[None]:
    """Enable ChainerMN's hook that ends all ranks if an exception ends one of them.

    Without it, the others wait for that rank until the job is canceled. The variable CHAINERMN_FORCE_ABORT_ON_EXCEPTION
    does the same; see chainermn/global_except_hook.py.
    """
    yield
    hook = vars(module)["global_except_hook"]
    if mpi_env.size() > 1 and vars(hook)["_orig_except_hook"] is None:
        hook.add_hook()

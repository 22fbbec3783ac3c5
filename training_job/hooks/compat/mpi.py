"""ChainerMN under mpirun."""

import contextlib
from collections.abc import Iterator
from types import ModuleType

from training_job import mpi_env


@contextlib.contextmanager
def abort_all_ranks(module: ModuleType) -> Iterator[None]:
    """Switch on what ChainerMN has for it and leaves off: an exception that ends one rank ends the others.

    Without it they wait for that rank until somebody ends the job. What CHAINERMN_FORCE_ABORT_ON_EXCEPTION does is in
    chainermn/global_except_hook.py.
    """
    yield
    hook = vars(module)["global_except_hook"]
    if mpi_env.size() > 1 and vars(hook)["_orig_except_hook"] is None:
        hook.add_hook()

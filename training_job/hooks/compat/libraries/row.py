"""A row of the table of patches that concerns a library."""

from training_job.hooks.compat import caller_origin
from training_job.hooks.import_hook import Patch, Patcher, afterwards


def row(module: str, symptom: str, since: str, fix: str, mended_by: str, function: str = "install") -> Patch:
    """Return the patch of `module` that `libraries.<mended_by>` has in its function.

    It is applied after the import if the process trains with Chainer.
    """
    return Patch(module=module, symptom=symptom, since=since, fix=fix, apply=lazily(f"libraries.{mended_by}", function))


def lazily(path: str, function: str) -> Patcher:
    """Return a patcher that calls a function of `training_job.hooks.compat.<path>` in a process with Chainer."""
    return afterwards(f"training_job.hooks.compat.{path}", function, caller_origin.in_chainer_process)

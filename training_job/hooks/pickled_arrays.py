# ruff: noqa: ANN401 - NumPy reads whatever is in a file
"""`np.load` of files with pickled objects, which NumPy has refused by default since 1.16.3.

To load a pickle is to run the code in it, so job.yaml has to allow it: `kedja: {allow_pickle: true}`. Then
`allow_pickle=True` is the default in the job's own files and in packages of Chainer's time, and pickles of Python 2 are
read as latin-1, as NumPy says. Otherwise the error names that key. Other modules see NumPy's own default.
"""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from training_job.hooks import import_hook
from training_job.hooks.compat import caller_origin
from training_job.hooks.import_hook import Patch, PatchFinder

VARIABLE = "KEDJA_ALLOW_PICKLE"
"""Environment variable that `launch` sets to `1` if the job may load pickled arrays."""

_PLACE_OF_ALLOW_PICKLE = 2  # load(file, mmap_mode, allow_pickle, …)
_OPTION = "allow_pickle"
_PYTHON_2 = "latin1"


@contextlib.contextmanager
def _numpy(module: ModuleType) -> Iterator[None]:
    yield
    load = vars(module)["load"]
    is_allowed = os.environ.get(VARIABLE) == "1"
    job = os.environ.get(caller_origin.JOB_VARIABLE)

    @functools.wraps(load)
    def call(file: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1).f_globals  # noqa: SLF001 - the only way to know the caller
        is_chosen = len(args) >= _PLACE_OF_ALLOW_PICKLE or _OPTION in kwargs
        if is_chosen or not (caller_origin.is_job_file(caller, job) or caller_origin.is_old_code(caller)):
            return load(file, *args, **kwargs)
        if is_allowed:
            return _load_pickles(load, file, *args, **{_OPTION: True, **kwargs})
        try:
            loaded = load(file, *args, **kwargs)
        except ValueError as error:
            raise _explained(error) from error
        return _explain_later(loaded)

    vars(module)["load"] = call


def _load_pickles(load: Callable[..., Any], file: Any, *args: Any, **kwargs: Any) -> Any:
    """Load a file; if it fails, as a pickle of Python 2, unless the caller has chosen an encoding."""
    if "encoding" in kwargs:
        return load(file, *args, **kwargs)
    start = file.tell() if hasattr(file, "tell") else None
    try:
        loaded = load(file, *args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a pickle can raise anything
        if start is not None:
            file.seek(start)
        # The second attempt decides: what is no pickle of Python 2 fails as before.
        try:
            return load(file, *args, **kwargs, encoding=_PYTHON_2)
        except Exception:  # noqa: BLE001 - whatever it is, the first error is the one that the script expects
            raise error from None
    return _with_class(loaded, _retry_as_python_2)


def _explain_later(loaded: Any) -> Any:
    return _with_class(loaded, _explain)


def _with_class(loaded: Any, guard: Callable[[Any, Callable[[], Any]], Any]) -> Any:
    """Return an archive (.npz), whose arrays are read when they are used, with a guard around that."""
    from numpy.lib.npyio import NpzFile  # noqa: PLC0415 - only once NumPy is imported

    if type(loaded) is not NpzFile:
        return loaded

    class GuardedNpzFile(NpzFile):
        """An archive of arrays."""

        def __getitem__(self, key: str) -> Any:
            return guard(self, functools.partial(super().__getitem__, key))

    loaded.__class__ = GuardedNpzFile
    return loaded


def _retry_as_python_2(archive: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnicodeError:
        archive.pickle_kwargs = {**archive.pickle_kwargs, "encoding": _PYTHON_2}
        return read()


def _explain(_: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ValueError as error:
        raise _explained(error) from error


def _explained(error: ValueError) -> ValueError:
    """Return the error with what to do, if NumPy refuses pickled objects: it has no class of its own for that."""
    if _OPTION not in str(error):
        return error
    return ValueError(
        f"{str(error).rstrip('.')}. To load pickled objects is to run the code that their writer chose. If you trust "
        "who may write to the data folder, set `kedja: {allow_pickle: true}` in job.yaml"
    )


PATCHES = (
    Patch(
        module="numpy",
        symptom="np.load of object arrays and of pickles: ValueError",
        since="NumPy 1.16.3",
        fix="allow_pickle=True is the default in old code if job.yaml allows it; else the error names the key",
        apply=_numpy,
    ),
)

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Install the hook, if `launch` started this process."""
    if caller_origin.JOB_VARIABLE in os.environ:
        import_hook.install(_FINDER)

"""Everything that Chainer 7.8.1 needs on today's Python, in one table."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

from training_job.import_hook import Patch


@contextlib.contextmanager
def _numpy_names(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the names are NumPy's, whoever asks
    from training_job.compat import numpy_names  # noqa: PLC0415 - imports NumPy: only once Chainer is imported

    numpy_names.install()
    yield


@contextlib.contextmanager
def _stand_in_modules(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - they are lent by way of sys.modules
    """Lend the module what it imports and nobody has any more, and put things back as they were.

    Where the real ones are still there they are not used either, as they warn of their end when they are imported.
    """
    from training_job.compat import resources  # noqa: PLC0415 - only once Chainer is imported

    stand_ins = resources.stand_ins()
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def _no_accelerate_check(module: ModuleType) -> Iterator[None]:
    yield
    module._check_osx_numpy_backend = lambda: None  # type: ignore[attr-defined]  # noqa: SLF001 - its only handle


PATCHES = (
    Patch(
        module="chainer",
        broke="np.sctypes at import, np.float in F.resize_images; np.int, np.product, np.Inf, … in people's scripts",
        since="NumPy 1.24 (np.int, np.float, …), NumPy 2.0 (np.sctypes, np.Inf, …), NumPy 2.4 (np.in1d, np.trapz)",
        mended="numpy.__getattr__ serves the lost names to Chainer and to the job's own files; other packages see the "
        "NumPy that is installed",
        mend=_numpy_names,
    ),
    Patch(
        module="chainer._environment_check",
        broke="imports numpy.distutils and pkg_resources: ImportError at `import chainer`",
        since="Python 3.12 (numpy.distutils), setuptools 82 (pkg_resources)",
        mended="stand-ins for this module alone; the version check itself works on importlib.metadata",
        mend=_stand_in_modules,
    ),
    Patch(
        module="chainer._environment_check",
        broke="asks numpy.distutils whether NumPy runs on macOS's old Accelerate: AttributeError on a Mac",
        since="Python 3.12",
        mended="the check is left out: NumPy has refused that Accelerate since 1.20",
        mend=_no_accelerate_check,
    ),
    Patch(
        module="chainer.testing.helper",
        broke="imports pkg_resources (chainer.testing, chainer.gradient_check)",
        since="setuptools 82",
        mended="a stand-in for this module alone",
        mend=_stand_in_modules,
    ),
    Patch(
        module="chainer.testing.doctest_helper",
        broke="imports pkg_resources",
        since="setuptools 82",
        mended="a stand-in for this module alone",
        mend=_stand_in_modules,
    ),
)

import subprocess
import sys
from types import ModuleType

import pytest

from tests.unit.training_job.drops import ROOT
from training_job.compat import resources
from training_job.compat.patches import PATCHES


def python(code: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_chainer_imports_without_a_warning() -> None:
    code = "import training_job, chainer, chainer.testing, chainer.gradient_check; print(chainer.__version__)"
    assert python(code, "-W", "error") == "7.8.1"


def test_nothing_happens_before_chainer_is_imported() -> None:
    code = """
import sys, numpy
before = numpy.__getattr__
import training_job
import email
print(numpy.__getattr__ is before, "chainer" in sys.modules, "training_job.compat.numpy_names" in sys.modules)
"""
    assert python(code) == "True False False"


def test_the_stand_ins_are_lent_to_chainer_alone() -> None:
    code = """
import importlib.util, training_job
before = importlib.util.find_spec("pkg_resources"), importlib.util.find_spec("numpy.distutils")
import chainer, chainer.testing, sys
assert before == (importlib.util.find_spec("pkg_resources"), importlib.util.find_spec("numpy.distutils"))
print([name for name in ("pkg_resources", "numpy.distutils", "numpy.distutils.system_info") if name in sys.modules])
"""
    assert python(code) == "[]"


def test_what_was_broken_works() -> None:
    code = """
import training_job, numpy as np, chainer, chainer.functions as F
from chainer import testing, gradient_check
print(F.resize_images(np.ones((1, 1, 4, 4), "f"), (8, 8)).shape)
x = chainer.Variable(np.arange(4, dtype="f"))
y = F.as_strided(x, (2, 2), (2, 1)); y.grad = np.ones_like(y.array); y.backward(); print(x.grad.tolist())
testing.with_requires("numpy>=1.0")(lambda: None)
gradient_check.check_backward(F.tanh, np.ones((2, 2), "f"), np.ones((2, 2), "f"), atol=1e-3, rtol=1e-3)
"""
    assert python(code).splitlines() == ["(1, 1, 8, 8)", "[1.0, 1.0, 1.0, 1.0]"]


def test_every_patch_says_what_why_and_how() -> None:
    assert all(patch.broke and patch.since and patch.mended for patch in PATCHES)


def test_requirements_are_checked_as_pkg_resources_does() -> None:
    assert resources.WorkingSet().require("chainer>=7")[0].version == "7.8.1"
    with pytest.raises(resources.VersionConflict):
        resources.require("chainer<7")
    with pytest.raises(resources.DistributionNotFound):
        resources.require("no-such-package-of-kedja>=1")


def test_stand_ins_are_modules_of_their_names() -> None:
    stand_ins = resources.stand_ins()
    assert all(isinstance(module, ModuleType) and module.__name__ == name for name, module in stand_ins.items())

import subprocess
import sys
from types import ModuleType

import pytest

from tests.unit.training_job.drops import ROOT
from training_job.hooks.compat.libraries import pkg_resources_stub
from training_job.hooks.compat.patches import PATCHES


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
print(numpy.__getattr__ is before, hasattr(numpy, "float"))
print([name for name in sys.modules if name.startswith(("chainer", "google.protobuf", "onnx", "pkg_resources"))])
slow = ("numpy.names", "numpy.calls", "numpy.behaviour", "libraries.pkg_resources_stub", "libraries.scipy_names")
print([name for name in slow if f"training_job.hooks.compat.{name}" in sys.modules])
"""
    assert python(code).splitlines() == ["True False", "[]", "[]"]


def test_the_stand_ins_are_lent_to_chainer_alone() -> None:
    code = """
import importlib.util, training_job
other = {"__name__": "other.package", "find": importlib.util.find_spec}
look = "found = find('pkg_resources'), find('numpy.distutils')"
exec(look, other)
before = other["found"]
import chainer, chainer.testing, sys
exec(look, other)
assert before == other["found"]
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


def test_what_numpy_and_scipy_changed_is_as_it_was() -> None:
    code = """
import io, training_job, numpy as np, chainer, chainer.functions as F
padded = F.pad_sequence([np.ones(1, np.uint8), np.ones(3, np.uint8)], padding=-1).array
print(padded.dtype, padded.tolist(), F.pad_sequence([np.ones(1, "f"), np.ones(2, "f")], padding=-1).array.tolist())
dice = chainer.distributions.Categorical(np.array([[.25, .75], [.5, .5]], "f"))
print(np.exp(dice.log_prob(np.array([1, 0])).array).round(4).tolist())
print(np.exp(dice.log_prob(chainer.Variable(np.array([0, 1], "f"))).array).round(4).tolist())
print("- device: CPU" in chainer.Variable(np.ones(2, "f")).debug_print())
"""
    assert python(code).splitlines() == [
        "uint8 [[1, 255, 255], [1, 1, 1]] [[1.0, -1.0], [1.0, 1.0]]",
        "[0.75, 0.5]",
        "[0.25, 0.5]",
        "True",
    ]


def test_a_sparse_product_of_half_precision() -> None:
    pytest.importorskip("scipy", reason="Chainer's sparse products on a CPU need SciPy, which a job may bring itself")
    code = """
import training_job, numpy as np, chainer
from chainer import functions as F, utils
y = F.sparse_matmul(utils.to_coo(np.array([[0, 2], [3, 0]], np.float16)), np.array([[1, 2], [3, 4]], np.float16))
print(y.dtype, y.array.tolist())
"""
    assert python(code) == "float16 [[6.0, 8.0], [3.0, 6.0]]"


def test_caffe_messages_on_todays_protobuf() -> None:
    code = """
import training_job, chainer.links.caffe, chainer.exporters
from chainer.links.caffe.caffe_function import caffe_pb
net = caffe_pb.NetParameter(name="n")
layer = net.layers.add(type=caffe_pb.V1LayerParameter.CONVOLUTION)
layer.blobs.add(data=[1.5, 2])
copy = caffe_pb.NetParameter.FromString(net.SerializeToString())
print(copy == net, list(copy.layers[0].blobs[0].data), caffe_pb.TEST)
"""
    assert python(code) == "True [1.5, 2.0] 1"


def test_a_network_is_exported_to_onnx() -> None:
    pytest.importorskip("onnx", reason="onnx_chainer needs onnx, which a job may bring itself")
    code = """
import training_job, numpy as np, chainer, chainer.links as L, chainer.functions as F, onnx_chainer
class Net(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.layer = L.Linear(3, 2)
    def forward(self, x):
        return F.relu(self.layer(x)) + np.ones((1, 2), "f")
model = onnx_chainer.export(Net(), np.ones((1, 3), "f"))
print([node.op_type for node in model.graph.node])
"""
    assert "Relu" in python(code, "-W", "ignore")


def test_every_patch_says_what_why_and_how() -> None:
    assert all(patch.symptom and patch.since and patch.fix for patch in PATCHES)


def test_the_document_has_every_patch_in_the_tables_words() -> None:
    lines = (ROOT / "docs/chainer.md").read_text().splitlines()
    rows = [f"| `{p.module}` | {p.symptom} | {p.since} | {p.fix} |" for p in PATCHES]
    first, last = lines.index("## What is fixed"), lines.index("## What has changed")
    assert sorted(line for line in lines[first:last] if line.startswith("| `")) == sorted(rows)


def test_requirements_are_checked_as_pkg_resources_does() -> None:
    assert pkg_resources_stub.WorkingSet().require("chainer>=7")[0].version == "7.8.1"
    with pytest.raises(pkg_resources_stub.VersionConflict):
        pkg_resources_stub.require("chainer<7")
    with pytest.raises(pkg_resources_stub.DistributionNotFound):
        pkg_resources_stub.require("no-such-package-of-kedja>=1")


def test_stand_ins_are_modules_of_their_names() -> None:
    stand_ins = pkg_resources_stub.stand_ins()
    assert all(isinstance(module, ModuleType) and module.__name__ == name for name, module in stand_ins.items())

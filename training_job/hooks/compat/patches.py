"""The table of all patches: what Chainer 7.8.1 needs on today's Python, and what older scripts need of Chainer 7.8.1.

docs/chainer.md has the same table.
"""

import contextlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

from training_job.hooks.compat import caffe, caller_origin, cudnn, module_stubs, mpi
from training_job.hooks.compat.libraries import patches as library_patches
from training_job.hooks.compat.old_chainer import table
from training_job.hooks.compat.standard.patches import STANDARD_PATCHES
from training_job.hooks.import_hook import Patch, Patcher, lazily


@contextlib.contextmanager
def _numpy_names(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the names are NumPy's
    import_module("numpy")  # first, as its own patch below imports the same module
    from training_job.hooks.compat.numpy import calls, names  # noqa: PLC0415 - only once Chainer is imported

    names.install()
    calls.install()
    library_patches.apply_to_imported()
    yield


@contextlib.contextmanager
def _numpy_names_in_chainer_jobs(module: ModuleType) -> Iterator[None]:
    yield
    if caller_origin.in_chainer_job():
        with _numpy_names(module):
            pass


@contextlib.contextmanager
def _numpy_calls_in_chainer_jobs(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the module installs them
    yield
    if caller_origin.in_chainer_job():
        from training_job.hooks.compat.numpy import calls  # noqa: PLC0415 - imports NumPy

        calls.install()


def _numpy_behaviour(name: str) -> Patcher:
    return lazily("training_job.hooks.compat.numpy.behaviour", name)


def _resources() -> Mapping[str, ModuleType]:
    from training_job.hooks.compat.libraries import pkg_resources_stub  # noqa: PLC0415 - only once Chainer is imported

    return pkg_resources_stub.stand_ins()


def _onnx_mapping() -> Mapping[str, ModuleType]:
    from training_job.hooks.compat import onnx_types  # noqa: PLC0415 - imports onnx: only once onnx_chainer is imported

    return onnx_types.stand_ins()


@contextlib.contextmanager
def _onnx_in_module(module: ModuleType) -> Iterator[None]:
    from training_job.hooks.compat import onnx_types  # noqa: PLC0415 - as above

    with onnx_types.in_module(module):
        yield


@contextlib.contextmanager
def _no_accelerate_check(module: ModuleType) -> Iterator[None]:
    yield
    module._check_osx_numpy_backend = lambda: None  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way


def _provides_onnx_mapping(module: str) -> Patch:
    return Patch(
        module=module,
        symptom="imports onnx.mapping: ImportError, so that no network can be exported",
        since="onnx 1.19",
        fix="a stand-in for this module alone, made of onnx.helper's answers",
        apply=module_stubs.provide(_onnx_mapping),
    )


PATCHES = (
    Patch(
        module="chainer",
        symptom="np.sctypes at import, np.float in F.resize_images; np.int, np.product, np.Inf, … in people's scripts",
        since="NumPy 1.24 (np.int, np.float, …), NumPy 2.0 (np.sctypes, np.Inf, …), NumPy 2.4 (np.in1d, np.trapz)",
        fix="numpy.__getattr__ serves the lost names to Chainer, to the job's own files and to packages that import "
        "Chainer or are of its time; other packages see the NumPy that is installed",
        apply=_numpy_names,
    ),
    Patch(
        module="numpy",
        symptom="the same names in a step of a job that does not import Chainer (yet), such as `prepare.py`",
        since="as above",
        fix="the same, in jobs of which a file imports Chainer, and nowhere else",
        apply=_numpy_names_in_chainer_jobs,
    ),
    Patch(
        module="numpy",
        symptom="arrays of lists of different lengths, array(copy=False), integers that wrap around, fromstring of "
        "bytes, hstack of a generator, histogram(normed=…), ndarray.tostring, itemset, newbyteorder and ptp",
        since="NumPy 1.24 (different lengths, generators, normed), NumPy 2.0 (copy, integers, three methods), "
        "NumPy 2.3 (fromstring, tostring)",
        fix="the functions and methods do what they did, for the same code alone",
        apply=_numpy_calls_in_chainer_jobs,
    ),
    Patch(
        module="chainer._environment_check",
        symptom="imports numpy.distutils and pkg_resources: ImportError at `import chainer`",
        since="Python 3.12 (numpy.distutils), setuptools 82 (pkg_resources)",
        fix="stand-ins for this module alone; the version check itself works on importlib.metadata",
        apply=module_stubs.provide(_resources),
    ),
    Patch(
        module="chainer._environment_check",
        symptom="asks numpy.distutils whether NumPy runs on macOS's old Accelerate: AttributeError on a Mac",
        since="Python 3.12",
        fix="the check is left out: NumPy has refused that Accelerate since 1.20",
        apply=_no_accelerate_check,
    ),
    Patch(
        module="cupy",
        symptom="looks for cuDNN 8 on the loader's path alone, and warns that it can't be loaded",
        since="CuPy 13, and cuDNN as a package",
        fix="the library of `nvidia-cudnn-cu12` is loaded first",
        apply=cudnn.preload,
    ),
    Patch(
        module="chainer.backends.cuda",
        symptom="advises to install cuDNN and CuPy again, though CuPy has no interface to cuDNN any more",
        since="CuPy 14",
        fix="the advice is left out; Chainer runs on CuPy's own kernels",
        apply=cudnn.suppress_advice,
    ),
    Patch(
        module="chainer.distributions.categorical",
        symptom="Categorical.log_prob and the divergence of two of them: TypeError, as meshgrid returns a tuple",
        since="NumPy 2.0",
        fix="log_prob indexes with a tuple",
        apply=_numpy_behaviour("meshgrid_is_a_tuple"),
    ),
    Patch(
        module="chainer.functions.array.pad_sequence",
        symptom="F.pad_sequence with padding -1 of unsigned integers: OverflowError",
        since="NumPy 2.0",
        fix="the padding is made an integer of the sequences' type, which wraps around as before",
        apply=_numpy_behaviour("integers_do_not_wrap"),
    ),
    Patch(
        module="chainer.functions.math.sparse_matmul",
        symptom="F.sparse_matmul of float16 on the CPU: ValueError, as SciPy's sparse matrices take none",
        since="SciPy 1.15",
        fix="calculated in float32, as SciPy did itself, and given back as float16",
        apply=_numpy_behaviour("scipy_has_no_half"),
    ),
    Patch(
        module="chainer.variable",
        symptom="Variable.debug_print and PrintHook say `cpu` for `CPU`, as NumPy's arrays have a device of their own",
        since="NumPy 2.0",
        fix="the old word is put back",
        apply=_numpy_behaviour("arrays_have_a_device"),
    ),
    Patch(
        module="chainer.testing.helper",
        symptom="imports pkg_resources (chainer.testing, chainer.gradient_check)",
        since="setuptools 82",
        fix="a stand-in for this module alone",
        apply=module_stubs.provide(_resources),
    ),
    Patch(
        module="chainer.testing.doctest_helper",
        symptom="imports pkg_resources",
        since="setuptools 82",
        fix="a stand-in for this module alone",
        apply=module_stubs.provide(_resources),
    ),
    Patch(
        module="chainer.links.caffe.protobuf3.caffe_pb2",
        symptom="chainer.links.caffe and chainer.exporters: TypeError, as the file was made by an old protoc",
        since="protobuf 4",
        fix="the messages are built from the description in the file, as today's protoc does it",
        apply=caffe.rebuild_messages,
    ),
    Patch(
        module="chainermn",
        symptom="a rank that ends with an exception leaves the others waiting for it for ever",
        since="always, unless CHAINERMN_FORCE_ABORT_ON_EXCEPTION is set",
        fix="under mpirun, ChainerMN's own hook is switched on, which ends all ranks",
        apply=mpi.abort_all_ranks,
    ),
    Patch(
        module="chainermn.iterators.multi_node_iterator",
        symptom="create_multi_node_iterator: TypeError in all ranks but the first, as an array of one is no scalar",
        since="NumPy 2.4",
        fix="this module's `int` takes such an array",
        apply=_numpy_behaviour("one_element_is_no_scalar"),
    ),
    _provides_onnx_mapping("onnx_chainer.export"),
    _provides_onnx_mapping("onnx_chainer.functions.array"),
    _provides_onnx_mapping("onnx_chainer.functions.math"),
    Patch(
        module="onnx_chainer.context",
        symptom="asks for onnx.mapping when it exports a constant: AttributeError",
        since="onnx 1.19",
        fix="this module's `onnx` has a stand-in for it",
        apply=_onnx_in_module,
    ),
    *table.PATCHES,
    *library_patches.LIBRARY_PATCHES,
    *STANDARD_PATCHES,
)

"""Everything that Chainer 7.8.1 needs on today's Python, in one table. docs/chainer.md has the same table in words."""

import contextlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

from training_job.hooks.compat import caffe, caller_origin, cudnn, module_stubs, mpi
from training_job.hooks.import_hook import Mend, Patch


@contextlib.contextmanager
def _numpy_names(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - the names are NumPy's, whoever asks
    import_module("numpy")  # first, as its own patch below imports the same module
    from training_job.hooks.compat import numpy_names  # noqa: PLC0415 - imports NumPy: only once Chainer is imported

    numpy_names.install()
    yield


@contextlib.contextmanager
def _numpy_names_in_chainer_jobs(module: ModuleType) -> Iterator[None]:
    yield
    if caller_origin.in_chainer_job():
        with _numpy_names(module):
            pass


def _numpy_way(name: str) -> Mend:
    """Return a mend of `numpy_behaviour`, which is imported (and NumPy with it) when the mend is needed."""

    @contextlib.contextmanager
    def mend(module: ModuleType) -> Iterator[None]:
        from training_job.hooks.compat import numpy_behaviour  # noqa: PLC0415

        with getattr(numpy_behaviour, name)(module):
            yield

    return mend


def _resources() -> Mapping[str, ModuleType]:
    from training_job.hooks.compat import pkg_resources_stub  # noqa: PLC0415 - only once Chainer is imported

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
    module._check_osx_numpy_backend = lambda: None  # type: ignore[attr-defined]  # noqa: SLF001 - its only handle


def _lends_onnx_mapping(module: str) -> Patch:
    return Patch(
        module=module,
        broke="imports onnx.mapping: ImportError, so that no network can be exported",
        since="onnx 1.19",
        mended="a stand-in for this module alone, made of onnx.helper's answers",
        mend=module_stubs.lend(_onnx_mapping),
    )


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
        module="numpy",
        broke="the same names in a step of a job that does not import Chainer (yet), such as `prepare.py`",
        since="as above",
        mended="the same, in jobs of which a file imports Chainer, and nowhere else",
        mend=_numpy_names_in_chainer_jobs,
    ),
    Patch(
        module="chainer._environment_check",
        broke="imports numpy.distutils and pkg_resources: ImportError at `import chainer`",
        since="Python 3.12 (numpy.distutils), setuptools 82 (pkg_resources)",
        mended="stand-ins for this module alone; the version check itself works on importlib.metadata",
        mend=module_stubs.lend(_resources),
    ),
    Patch(
        module="chainer._environment_check",
        broke="asks numpy.distutils whether NumPy runs on macOS's old Accelerate: AttributeError on a Mac",
        since="Python 3.12",
        mended="the check is left out: NumPy has refused that Accelerate since 1.20",
        mend=_no_accelerate_check,
    ),
    Patch(
        module="chainer.backends.cuda",
        broke="advises to install cuDNN and CuPy again, though CuPy has no interface to cuDNN any more",
        since="CuPy 14",
        mended="the advice is left out; Chainer runs on CuPy's own kernels",
        mend=cudnn.no_advice,
    ),
    Patch(
        module="chainer.distributions.categorical",
        broke="Categorical.log_prob and the divergence of two of them: TypeError, as meshgrid returns a tuple",
        since="NumPy 2.0",
        mended="log_prob indexes with a tuple",
        mend=_numpy_way("meshgrid_is_a_tuple"),
    ),
    Patch(
        module="chainer.functions.array.pad_sequence",
        broke="F.pad_sequence with padding -1 of unsigned integers: OverflowError",
        since="NumPy 2.0",
        mended="the padding is made an integer of the sequences' type, which wraps around as before",
        mend=_numpy_way("integers_do_not_wrap"),
    ),
    Patch(
        module="chainer.functions.math.sparse_matmul",
        broke="F.sparse_matmul of float16 on the CPU: ValueError, as SciPy's sparse matrices take none",
        since="SciPy 1.15",
        mended="calculated in float32, as SciPy did itself, and given back as float16",
        mend=_numpy_way("scipy_has_no_half"),
    ),
    Patch(
        module="chainer.variable",
        broke="Variable.debug_print and PrintHook say `cpu` for `CPU`, as NumPy's arrays have a device of their own",
        since="NumPy 2.0",
        mended="the old word is put back",
        mend=_numpy_way("arrays_have_a_device"),
    ),
    Patch(
        module="chainer.testing.helper",
        broke="imports pkg_resources (chainer.testing, chainer.gradient_check)",
        since="setuptools 82",
        mended="a stand-in for this module alone",
        mend=module_stubs.lend(_resources),
    ),
    Patch(
        module="chainer.testing.doctest_helper",
        broke="imports pkg_resources",
        since="setuptools 82",
        mended="a stand-in for this module alone",
        mend=module_stubs.lend(_resources),
    ),
    Patch(
        module="chainer.links.caffe.protobuf3.caffe_pb2",
        broke="chainer.links.caffe and chainer.exporters: TypeError, as the file was made by an old protoc",
        since="protobuf 4",
        mended="the messages are built from the description in the file, as today's protoc does it",
        mend=caffe.todays_messages,
    ),
    Patch(
        module="chainermn",
        broke="a rank that ends with an exception leaves the others waiting for it for ever",
        since="always, unless CHAINERMN_FORCE_ABORT_ON_EXCEPTION is set",
        mended="under mpirun, ChainerMN's own hook is switched on, which ends all ranks",
        mend=mpi.one_rank_ends_all,
    ),
    Patch(
        module="chainermn.iterators.multi_node_iterator",
        broke="create_multi_node_iterator: TypeError in all ranks but the first, as an array of one is no scalar",
        since="NumPy 2.4",
        mended="this module's `int` takes such an array",
        mend=_numpy_way("one_element_is_no_scalar"),
    ),
    _lends_onnx_mapping("onnx_chainer.export"),
    _lends_onnx_mapping("onnx_chainer.functions.array"),
    _lends_onnx_mapping("onnx_chainer.functions.math"),
    Patch(
        module="onnx_chainer.context",
        broke="asks for onnx.mapping when it exports a constant: AttributeError",
        since="onnx 1.19",
        mended="this module's `onnx` has a stand-in for it",
        mend=_onnx_in_module,
    ),
)

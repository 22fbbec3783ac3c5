"""Makes GPU 0 the CPU in a job's processes on one machine without a GPU, if `launch` says so."""

from training_job.hooks import import_hook
from training_job.hooks.absent_gpu import gpu_zero, script_imports
from training_job.hooks.import_hook import Patch, PatchFinder, lazily


def _patch(module: str, function: str, symptom: str, fix: str) -> Patch:
    # `cuda_module` imports NumPy, so it is imported only if a job uses Chainer.
    apply = lazily("training_job.hooks.absent_gpu.cuda_module", function)
    return Patch(module, symptom, "a machine without a GPU", fix, apply)


PATCHES = (
    _patch(
        "chainer.backends.cuda",
        "in_cuda",
        "get_device_from_id(0), get_device(0), to_gpu(x), '@cupy:0', cuda.available, cuda.cupy",
        "they give the CPU; scripts (not Chainer) see a GPU, and a stand-in for CuPy whose arrays are NumPy's",
    ),
    _patch("chainer.backend", "in_backend", "get_device(cuda.Device(0))", "it gives the CPU"),
    _patch("chainer.device_resident", "in_device_resident", "model.to_gpu()", "the model stays on the CPU"),
    _patch("chainer.variable", "in_variable", "variable.to_gpu()", "the variable stays on the CPU"),
)

_FINDER = PatchFinder(PATCHES)


def install() -> None:
    """Make GPU 0 the CPU, if `launch` asked for it."""
    if gpu_zero.is_cpu():
        import_hook.install(_FINDER)
        script_imports.install()

# ruff: noqa: ANN401 - Chainer has no types
"""The names that Chainer 2 to 7 removed from its modules."""

import contextlib
import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from training_job.hooks.compat.old_chainer import moved_modules

_LINKS_IN_FUNCTIONS = frozenset(
    {
        "BatchNormalization",
        "Bilinear",
        "BinaryHierarchicalSoftmax",
        "Convolution2D",
        "DilatedConvolution2D",
        "EmbedID",
        "Inception",
        "InceptionBN",
        "Linear",
        "NegativeSampling",
        "Parameter",
        "PReLU",
    }
)
"""Links that were in `chainer.functions` too: see `chainer/functions/__init__.py` of Chainer 1.24."""


@contextlib.contextmanager
def in_chainer(module: ModuleType) -> Iterator[None]:
    """Patch `chainer`: `ON`, `OFF`, `AUTO`, `Flag`, `FunctionSet`, `init_weight`, and modules under their old names."""
    moved_modules.install()
    yield
    from training_job.hooks.compat.old_chainer import flag, function_set  # noqa: PLC0415 - they need Chainer

    vars(module).update(ON=flag.ON, OFF=flag.OFF, AUTO=flag.AUTO, Flag=flag.Flag, flag=flag)
    vars(module).update(FunctionSet=function_set.FunctionSet, function_set=function_set)
    vars(module)["init_weight"] = vars(module)["initializers"].init_weight


@contextlib.contextmanager
def in_functions(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.functions`: links such as `F.Linear`, and the classes of functions such as `F.MaxPooling2D`."""
    yield

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562
        if name in _LINKS_IN_FUNCTIONS:
            return getattr(import_module("chainer.links"), name)
        found = None if name.startswith("_") else _function_class(name)
        if found is None:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return found

    vars(module)["__getattr__"] = __getattr__


def _function_class(name: str) -> type | None:
    """Return the class of a function, from the module that defines it."""
    if name == "MaxPooling2D":
        from training_job.hooks.compat.old_chainer.pooling import MaxPooling2D  # noqa: PLC0415 - needs Chainer

        return MaxPooling2D
    chainer = sys.modules["chainer"]
    kinds = (chainer.FunctionNode, chainer.Function)
    for key, module in list(sys.modules.items()):
        found = vars(module).get(name) if key.startswith("chainer.functions.") else None
        if isinstance(found, type) and issubclass(found, kinds) and found.__module__ == key:
            return found
    return None


@contextlib.contextmanager
def in_links(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.links`: the link `Parameter`."""
    yield

    def __getattr__(name: str) -> Any:  # noqa: N807 - PEP 562
        if name != "Parameter":
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        from training_job.hooks.compat.old_chainer.function_set import Parameter  # noqa: PLC0415 - needs Chainer

        return Parameter

    vars(module)["__getattr__"] = __getattr__


@contextlib.contextmanager
def in_function_node(module: ModuleType) -> Iterator[None]:
    """Patch `FunctionNode`, which can be called like the functions of Chainer 1: `F.ReLU()(x)`."""
    yield

    def __call__(self: Any, *inputs: Any) -> Any:  # noqa: N807 - the method's name
        outputs = self.apply(inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    vars(module)["FunctionNode"].__call__ = __call__


@contextlib.contextmanager
def in_initializers(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.initializers`: `init_weight`, and `Constant(value=…)`."""
    yield
    names = vars(module)
    constant = names["Constant"]
    construct = constant.__init__

    def init_weight(weights: Any, initializer: Any, scale: float = 1.0) -> None:
        """Fill an array, or a parameter's array; multiply it by `scale`."""
        array = getattr(weights, "array", weights)
        names["_get_initializer"](initializer)(array)
        array *= scale

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - the method's name
        if "value" in kwargs:
            kwargs["fill_value"] = kwargs.pop("value")
        construct(self, *args, **kwargs)

    names["init_weight"] = init_weight
    constant.__init__ = __init__


@contextlib.contextmanager
def in_npz(module: ModuleType) -> Iterator[None]:
    """Patch `save_npz` and `load_npz`, whose argument `file` was `filename`."""
    yield
    from training_job.hooks.compat.old_chainer.arguments import renamed  # noqa: PLC0415 - needs Chainer

    for name in ("save_npz", "load_npz"):
        vars(module)[name] = renamed(vars(module)[name], filename="file")


@contextlib.contextmanager
def in_cuda(module: ModuleType) -> Iterator[None]:
    """Patch `chainer.cuda`: `init`, and functions that make arrays on the GPU, such as `cuda.zeros`."""
    yield
    names = vars(module)

    def init(arg: Any = None) -> None:
        """Check that there is a GPU; make GPU number `arg` current."""
        module.check_cuda_available()
        if arg is not None:
            module.get_device_from_id(arg).use()

    def maker(name: str) -> Any:
        def make(*args: Any, stream: Any = None, **kwargs: Any) -> Any:  # noqa: ARG001 - accepted and unused, as before
            module.check_cuda_available()
            if not name.endswith("_like"):
                given = 3 if name == "full" else 2
                if len(args) < given:
                    kwargs.setdefault("dtype", "float32")
            return getattr(module.cupy, name)(*args, **kwargs)

        return make

    for shape in ("empty", "full", "ones", "zeros"):
        for name in (shape, f"{shape}_like"):
            names[name] = maker(name)
    names["init"] = init

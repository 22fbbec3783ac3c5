"""Modules of Chainer that were moved or removed, under their old names."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_HERE = __name__.rpartition(".")[0]
_N_STEP = ("n_step_gru", "n_step_lstm", "n_step_rnn")
_LINKS = ("gru", "lstm", "mgu", "peephole", "tree_lstm", "zoneoutlstm", *_N_STEP)
_ACTIVATIONS = ("lstm", "slstm", "tree_lstm")

_MODULES: Mapping[str, str] = {
    "chainer.backends.cuda_fusion": "chainer.backends.cuda",
    "chainer.cuda_fusion": "chainer.backends.cuda",
    "chainer.flag": f"{_HERE}.flag",
    "chainer.function_set": f"{_HERE}.function_set",
    "chainer.functions.caffe": "chainer.links.caffe",
    "chainer.functions.math.squared_difference": "chainer.functions.loss.squared_error",
    "chainer.functions.pooling.max_pooling_2d": "chainer.functions.pooling.max_pooling_nd",
    "chainer.links.connection.parameter": f"{_HERE}.function_set",
    "chainer.training.triggers.interval": "chainer.training.triggers.interval_trigger",
    **{f"chainer.links.connection.{name}": f"chainer.links.rnn.{name}" for name in _LINKS},
    **{f"chainer.functions.activation.{name}": f"chainer.functions.rnn.{name}" for name in _ACTIVATIONS},
    **{f"chainer.functions.connection.{name}": f"chainer.functions.rnn.{name}" for name in _N_STEP},
}
"""Old name: today's name."""


class _AliasFinder(MetaPathFinder, Loader):
    """Finds the old names after all other finders, and gives today's module."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the protocol's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return a spec for an old name, or None."""
        return ModuleSpec(fullname, self) if fullname in _MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return today's module, which keeps its own spec."""
        module = importlib.import_module(_MODULES[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Put back the spec that the import system has just replaced."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


_FINDER = _AliasFinder()


def install() -> None:
    """Serve the old names. Calling this again has no effect."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.append(_FINDER)

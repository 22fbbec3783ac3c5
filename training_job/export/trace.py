"""Traces an entry of a Link to an ONNX graph, by Chainer's own exporter `onnx_chainer`."""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from training_job.errors import ExportError
from training_job.export.entry import Entry

OPSET = 11
"""The latest that `onnx_chainer` writes. ONNX Runtime 1.17 and later load it."""


class NotExportableError(ExportError):
    """A function has no equivalent in ONNX. `function` is its name, `path` the path of the Link that calls it."""

    def __init__(self, function: str, path: str) -> None:
        where = f" of the Link {path}" if path else ""
        super().__init__(f"{function}{where} has no converter to ONNX")
        self.function = function
        self.path = path


def run(entry: Entry, inputs: Sequence[Any]) -> dict[str, Any]:
    """Return the outputs of an entry, as arrays by name, computed by Chainer in test mode."""
    import chainer  # noqa: PLC0415 - the caller has a Link, so it is imported

    with _test_mode(chainer, backprop=entry.label is not None):
        outputs = entry.call([chainer.Variable(value) for value in inputs])
    return {name: value.array for name, value in outputs.items()}


def trace(entry: Entry, inputs: Sequence[Any]) -> Any:  # noqa: ANN401 - a model of onnx
    """Return the graph traced with these inputs, whose sizes become part of it.

    Raises:
        NotExportableError: A function has no converter.
        ExportError: The graph cannot be traced, or does not depend on the inputs.
    """
    import chainer  # noqa: PLC0415 - as above

    exporter: Any = importlib.import_module("onnx_chainer")  # imports onnx, which is slow
    traced = _Traced(entry)
    with _test_mode(chainer, backprop=True), _functions(chainer, entry.link) as functions:
        traced.functions = functions
        return exporter.export(
            traced,
            [chainer.Variable(value) for value in inputs],
            opset_version=OPSET,
            input_names=entry.input_names(),
            output_names=traced.names,  # filled during the call
            no_testcase=True,
        )


class _Traced:
    """What `onnx_chainer` takes for a Link: it calls the entry, and names the parameters."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.names: list[str] = []
        self.functions: dict[int, tuple[Any, str]] = {}

    def __call__(self, *args: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        found = self._entry.call(args)
        self.names[:] = found
        self._check(list(found.values()))
        return list(found.values())

    def namedlinks(self) -> Any:  # noqa: ANN401 - as above
        return self._entry.link.namedlinks()

    def namedparams(self) -> Any:  # noqa: ANN401 - as above
        return self._entry.link.namedparams()

    def _path(self, node: Any) -> str:  # noqa: ANN401 - as above
        """Return the path, in the saved Link, of the Link that calls a function."""
        _, path = self.functions.get(id(node), (None, ""))
        return f"{self._entry.path}{path}".strip("/")

    def _check(self, outputs: Sequence[Any]) -> None:
        """Raise an error for the first function that has no converter."""
        converters = importlib.import_module("onnx_chainer.mapping").converters
        stack, seen = [one.node.creator_node for one in outputs], set()
        while stack:
            node = stack.pop()
            if node is None or id(node) in seen:
                continue
            seen.add(id(node))
            function = getattr(node, "function", node)
            name = getattr(function, "custom_function_node_name", type(function).__name__)
            if name not in converters:
                raise NotExportableError(name, self._path(node))
            stack += [one.creator_node for one in node.inputs]


@contextlib.contextmanager
def _functions(chainer: Any, link: Any) -> Iterator[dict[int, tuple[Any, str]]]:  # noqa: ANN401 - as above
    """Note for each function that is called the path of the Link that calls it."""
    paths = {id(one): path for path, one in link.namedlinks()}
    found: dict[int, tuple[Any, str]] = {}

    class Hook(chainer.FunctionHook):  # type: ignore[misc]  # Chainer has no types
        name = "kedja-paths"

        def forward_preprocess(self, function: Any, in_data: Any) -> None:  # noqa: ANN401, ARG002 - as above
            found[id(function)] = function, _caller(sys._getframe(1), paths)  # noqa: SLF001 - the only way to a caller

    with Hook():
        yield found


def _caller(frame: FrameType | None, paths: dict[int, str]) -> str:
    while frame is not None:
        path = paths.get(id(frame.f_locals.get("self")))
        if path is not None:
            return path
        frame = frame.f_back
    return ""


@contextlib.contextmanager
def _test_mode(chainer: Any, *, backprop: bool) -> Iterator[None]:  # noqa: ANN401 - as above
    with (
        chainer.using_config("train", False),  # noqa: FBT003 - Chainer's signature
        chainer.using_config("enable_backprop", backprop),
        chainer.using_config("use_ideep", "never"),
        chainer.using_config("use_static_graph", False),  # noqa: FBT003 - as above
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield

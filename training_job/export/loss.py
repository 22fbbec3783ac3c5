"""Finds, in a method that returns a loss, what it predicts: the Variables that go into the loss with the label.

A loss is computed from the prediction and the label. From the loss backward through the graph, the first functions that
take the label, or an array that depends on it, have the prediction as their other input.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from training_job.errors import ExportError

_LOSSES = frozenset(
    {
        "SoftmaxCrossEntropy", "SigmoidCrossEntropy", "MeanSquaredError", "MeanAbsoluteError", "HuberLoss", "Hinge",
        "AbsoluteError", "SquaredError", "NegativeLogLikelihood", "Contrastive", "DiceLoss",
    }
)  # fmt: skip
"""Chainer's functions whose first input is the prediction."""


def predictions(function: Callable[[], Any], label: Any, inputs: Sequence[Any]) -> list[Any]:  # noqa: ANN401 - Chainer
    """Call a function that returns a loss; return what is compared with the label, as Variables.

    Raises:
        ExportError: It returns no loss, or nothing that goes into it depends on the inputs.
    """
    import chainer  # noqa: PLC0415 - the caller has a Link, so it is imported

    takers = _LabelTakers(chainer, label)
    with chainer.using_config("enable_backprop", True), takers.hook:  # noqa: FBT003 - Chainer's signature
        result = function()
    parts = result if isinstance(result, list | tuple) else [result]
    losses = [part for part in parts if isinstance(part, chainer.Variable) and part.ndim == 0]
    if not losses:
        raise ExportError(f"it returns a {type(result).__name__}, and no loss")
    nodes = {id(value.node) for value in inputs if isinstance(value, chainer.Variable)}
    found = _Search(takers, nodes).behind(losses[0].node)
    variables = [takers.variable_of(function, index) for function, index in found]
    if not variables:
        raise ExportError("nothing was found that goes into its loss together with the label")
    return variables


class _LabelTakers:
    """The functions that take the label. A hook finds them while they are called, as the graph keeps few arrays."""

    def __init__(self, chainer: Any, label: Any) -> None:  # noqa: ANN401 - a module without types
        self._variable = chainer.Variable
        self._data: dict[int, tuple[Any, Sequence[Any]]] = {}
        array = label.array if isinstance(label, chainer.Variable) else label
        data = self._data

        class Hook(chainer.FunctionHook):  # type: ignore[misc]  # Chainer has no types
            name = "kedja-label"

            def forward_preprocess(self, function: Any, in_data: Any) -> None:  # noqa: ANN401 - as above
                takes = any(isinstance(part, np.ndarray) and np.may_share_memory(part, array) for part in in_data)
                if takes or _name(function) in _LOSSES:
                    data[id(function)] = function, in_data  # the function is kept, so that its id is not used again

        self.hook = Hook()

    def __contains__(self, function: Any) -> bool:  # noqa: ANN401 - as above
        return id(function) in self._data

    def variable_of(self, function: Any, index: int) -> Any:  # noqa: ANN401 - as above
        """Return an input of a function that takes the label; without its graph, if the Variable is gone."""
        variable = function.inputs[index].get_variable_or_none()
        return self._variable(self._data[id(function)][1][index]) if variable is None else variable


class _Search:
    """Walks from a loss toward the inputs."""

    def __init__(self, takers: _LabelTakers, inputs: set[int]) -> None:
        self._takers = takers
        self._inputs = inputs
        self._depends: dict[int, bool] = {}

    def behind(self, loss: Any) -> list[tuple[Any, int]]:  # noqa: ANN401 - as above
        """Return what goes into the loss with the label: each the index of an input of a function."""
        found: dict[int, tuple[Any, int]] = {}
        queue, seen = [loss], {id(loss)}
        while queue:
            function = queue.pop(0).creator_node
            if function is None:
                continue
            inputs = {index: one for index, one in enumerate(function.inputs) if self._depends_on_input(one)}
            if function in self._takers:
                first = list(inputs)[:1] if _name(function) in _LOSSES else inputs
                found |= {id(inputs[index]): (function, index) for index in first}
                continue
            queue += [one for one in inputs.values() if id(one) not in seen]
            seen |= {id(one) for one in inputs.values()}
        return list(found.values())

    def _depends_on_input(self, node: Any) -> bool:  # noqa: ANN401 - as above
        """Whether a node is an input, or computed from one. Not recursive, as graphs can be deep."""
        new, stack = [], [node]
        while stack:
            one = stack.pop()
            if id(one) not in self._depends:
                self._depends[id(one)] = id(one) in self._inputs
                new.append(one)
                stack += one.creator_node.inputs if one.creator_node is not None else ()
        for one in sorted(new, key=lambda each: int(each.rank)):
            if one.creator_node is not None and any(self._depends[id(part)] for part in one.creator_node.inputs):
                self._depends[id(one)] = True
        return self._depends[id(node)]


def _name(function: Any) -> str:  # noqa: ANN401 - as above
    return type(getattr(function, "function", function)).__name__

from typing import Any

import chainer
import chainer.functions as F  # noqa: N812 - as in Chainer's documentation
import chainer.links as L  # noqa: N812 - as above
import numpy as np
import pytest

from training_job.hooks.compat.old_chainer.flag import AUTO, OFF, ON, Flag, aggregate_flags


def variable(**arguments: Any) -> Any:  # noqa: ANN401 - Chainer has no types
    return chainer.Variable(np.ones((2, 3), "f"), **arguments)


@pytest.mark.parametrize("value", ["on", "ON", True, chainer.ON])
def test_what_is_computed_from_a_volatile_variable_has_no_graph(value: object) -> None:
    link = L.Linear(3, 2)
    y = F.sum(link(variable(volatile=value)) * 2 + 1)
    assert (y.volatile, y.creator) == (ON, None)
    link.cleargrads()
    y.backward()
    assert link.W.grad is None


@pytest.mark.parametrize("arguments", [{}, {"volatile": False}, {"volatile": "off"}, {"volatile": "auto"}])
def test_other_variables_have_a_graph(arguments: dict[str, Any]) -> None:
    link = L.Linear(3, 2)
    y = F.sum(link(variable(**arguments)))
    assert (y.volatile, y.creator is None) == (OFF, False)
    link.cleargrads()
    y.backward()
    assert (link.W.grad == 2).all()


def test_arguments_by_position() -> None:
    given = chainer.Variable(np.ones(1, "f"), "on", "input")
    assert (given.volatile == "on", given.name) == (True, "input")


def test_the_flag_can_be_set_later_and_copied() -> None:
    x = variable()
    x.volatile = True
    assert chainer.Variable.__copy__(x).volatile is ON
    assert F.relu(x).creator is None
    x.volatile = False
    assert F.relu(x).creator is not None


def test_a_parameter_adapts_itself() -> None:
    assert L.Linear(3, 2).W.volatile == "auto"


def test_flags_compare_with_their_names() -> None:
    assert (ON == "on", OFF == False, AUTO == None, ON == "off", ON == "x") == (True, True, True, False, False)  # noqa: E711, E712 - what scripts write
    assert (str(ON), bool(ON), bool(OFF), Flag("auto")) == ("ON", True, False, AUTO)
    with pytest.raises(ValueError, match="AUTO cannot be converted"):
        bool(AUTO)


@pytest.mark.parametrize(("flags", "expected"), [(["on", "off"], ON), (["off", "auto"], OFF), (["auto"], AUTO)])
def test_flags_of_several_variables(flags: list[str], expected: Flag) -> None:
    assert aggregate_flags(flags) is expected

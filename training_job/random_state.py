"""The random generators that a Chainer script draws from, as JSON values."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def capture(own: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the states of Python's generator, NumPy's global one and the RandomStates `own`."""
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": _plain(np.random.get_state(legacy=False)),  # noqa: NPY002 - what Chainer draws from
        "own": [_plain(generator.get_state(legacy=False)) for generator in own],
    }


def restore(state: Mapping[str, Any], own: Sequence[Any] = ()) -> None:
    """Restore the state that `capture` returned. `own` are the same generators, in the same order."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    np.random.set_state(_arrays(state["numpy"]))  # noqa: NPY002 - as above
    for generator, kept in zip(own, state["own"], strict=True):
        generator.set_state(_arrays(kept))


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    return {**state, "state": {**state["state"], "key": state["state"]["key"].tolist()}}


def _arrays(state: Mapping[str, Any]) -> dict[str, Any]:
    return {**state, "state": {**state["state"], "key": np.array(state["state"]["key"], np.uint32)}}

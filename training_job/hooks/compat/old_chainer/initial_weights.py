# ruff: noqa: ANN401 - Chainer has no types
"""The removed arguments `wscale` and `bias` of links: the scale of the initial weights, and the initial bias.

As in Chainer 1.9 to 1.24, weights are multiplied by the square root of `wscale`, those of a given `initialW` too.
(Chainer 1.5 to 1.8 multiplied by `wscale` itself.) See `chainer/links/connection/linear.py` of these versions.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

from chainer import initializer, initializers


class ScaledInitializer(initializer.Initializer):  # type: ignore[misc] # Chainer has no types
    """An initializer whose values are multiplied by `scale`."""

    def __init__(self, base: Any, scale: float) -> None:
        """Scale what `base` gives: an initializer, a number, an array, or None for Chainer's default."""
        self._base = initializers._get_initializer(base)  # noqa: SLF001 - Chainer's own reading of such values
        self._scale = scale
        super().__init__(getattr(self._base, "dtype", None))

    def __call__(self, array: Any) -> None:
        """Fill the array."""
        self._base(array)
        array *= self._scale


def accept_scale(
    link: type, index: int, tail: Sequence[str] = (), *, types: tuple[type, ...] = (float,), weights: str = "initialW"
) -> None:
    """Let a link's constructor take `wscale` and `bias`.

    In Chainer 1, `wscale` was positional argument number `index`, and `tail` are the names from there on. A value of
    one of `types` there is a `wscale`, as today's argument at that place is of another type.
    """
    construct: Callable[..., None] = vars(link)["__init__"]

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807 - the method's name
        if len(args) > index and isinstance(args[index], types) and not isinstance(args[index], bool):
            kwargs = dict(zip(tail, args[index:], strict=False)) | kwargs
            args = args[:index]
        scale = kwargs.pop("wscale", 1)
        if scale != 1:
            kwargs[weights] = ScaledInitializer(kwargs.get(weights), math.sqrt(scale))
        bias = kwargs.pop("bias", None)
        if bias is not None and kwargs.get("initial_bias") is None:
            kwargs["initial_bias"] = bias
        construct(self, *args, **kwargs)

    link.__init__ = __init__  # type: ignore[misc] # the purpose of this function

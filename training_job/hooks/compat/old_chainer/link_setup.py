# ruff: noqa: ANN401 - Chainer has no types
"""How links of older scripts set themselves up: late `__init__`, their own `device`, parameters without a shape.

- Before Chainer 6, `init_scope` and calls worked on a link whose `Link.__init__` had not run (yet).
- Before Chainer 6, `device` was a free name, so that a script could assign it. Chainer now keeps its own device there.
- Chainer 1 had `add_uninitialized_param`; `add_param` then gave the shape.
"""

import contextlib
import functools
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from training_job.hooks.compat import caller_origin

_EARLY, _DEVICE, _SHAPELESS = "_set_up_early", "_device_of_script", "_shapeless_params"
_REGISTERED = ("_params", "_persistent", "_children")


@contextlib.contextmanager
def accept_early_use(module: ModuleType) -> Iterator[None]:
    """Patch `Link`, so that a link is set up when it is first used, and what it has survives a later `__init__`."""
    yield
    link, chain = vars(module)["Link"], vars(module)["Chain"]

    def check_init_done(self: Any) -> None:
        if vars(self).get("_Link__init_done", False):
            return
        base: Any = next(kind for kind in type(self).__mro__ if kind.__module__ == module.__name__)
        base.__init__(self)
        vars(self)[_EARLY] = True

    construct, construct_chain = link.__init__, chain.__init__

    @functools.wraps(construct)
    def init_link(self: Any, **params: Any) -> None:
        with _kept(self, "_params", "_persistent"):
            construct(self, **params)

    @functools.wraps(construct_chain)
    def init_chain(self: Any, **links: Any) -> None:
        with _kept(self, "_children"):
            construct_chain(self, **links)

    link._Link__check_init_done = check_init_done  # noqa: SLF001 - what raises the error
    link.__init__, chain.__init__ = init_link, init_chain


@contextlib.contextmanager
def _kept(link: Any, *names: str) -> Iterator[None]:
    """Keep what was registered, and the scope, while the link is initialized again."""
    if not vars(link).get(_EARLY):
        yield
        return
    before = {name: set(vars(link)[name]) for name in names}
    scope = link.within_init_scope
    yield
    for name, registered in before.items():
        vars(link)[name].update(registered)
    vars(link)["_within_init_scope"] = scope


@contextlib.contextmanager
def accept_own_device(module: ModuleType) -> Iterator[None]:
    """Patch `DeviceResident.device`: a script that assigned it reads its own value, and Chainer reads Chainer's."""
    yield
    resident = vars(module)["DeviceResident"]
    own = resident.device.fget

    def get(self: Any) -> Any:
        if _DEVICE in vars(self) and not caller_origin.is_chainer(sys._getframe(1).f_globals):  # noqa: SLF001
            return vars(self)[_DEVICE]
        return own(self)

    def assign(self: Any, value: Any) -> None:
        vars(self)[_DEVICE] = value

    def forget(self: Any) -> None:
        vars(self).pop(_DEVICE, None)

    resident.device = property(get, assign, forget)


@contextlib.contextmanager
def accept_shapeless_params(module: ModuleType) -> Iterator[None]:
    """Patch `Link`: `add_uninitialized_param`, and `add_param` on such a parameter, which gives it its shape.

    The parameter exists from the start, so that an optimizer that was set up before updates it.
    """
    yield
    link = vars(module)["Link"]
    add = link.add_param

    def add_uninitialized_param(self: Any, name: str) -> None:
        add(self, name)
        vars(self).setdefault(_SHAPELESS, set()).add(name)

    @functools.wraps(add)
    def add_param(self: Any, name: str, shape: Any = None, dtype: Any = "float32", initializer: Any = None) -> None:
        if name not in vars(self).get(_SHAPELESS, ()):
            add(self, name, shape, dtype, initializer)
            return
        template = link()
        add(template, name, (1,) if shape is None else shape, dtype, initializer)
        parameter = getattr(self, name)
        parameter.array = self.device.send(getattr(template, name).array)
        vars(self)[_SHAPELESS].discard(name)

    link.add_uninitialized_param, link.add_param = add_uninitialized_param, add_param
    link.has_uninitialized_params = property(lambda self: bool(vars(self).get(_SHAPELESS)))

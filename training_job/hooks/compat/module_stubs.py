"""Lends a module what it imports and nobody has any more."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from training_job.hooks.import_hook import Patcher

StandIns = Callable[[], Mapping[str, ModuleType]]
"""Makes the modules to lend, by the name that they are imported by."""


def provide(make: StandIns) -> Patcher:
    """Return a mend that puts stand-ins where `import` looks while one module runs, and then puts things back.

    Where the real ones are still there they are not used either, as they warn of their end when they are imported.
    """

    @contextlib.contextmanager
    def patcher(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - they are lent by way of sys.modules
        stand_ins = make()
        before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
        sys.modules.update(stand_ins)
        try:
            yield
        finally:
            for name in stand_ins:
                del sys.modules[name]
            sys.modules.update(before)

    return patcher

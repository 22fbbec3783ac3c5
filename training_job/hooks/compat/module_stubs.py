"""Provides stand-ins for modules that no longer exist, to one importing module only."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

from training_job.hooks.import_hook import Patcher

StandIns = Callable[[], Mapping[str, ModuleType]]
"""Returns the stand-ins by the names under which they are imported."""


def provide(make: StandIns) -> Patcher:
    """Return a patcher that puts stand-ins into `sys.modules` while one module runs, and then restores it.

    They are used even if the real modules exist, as those warn about their removal when they are imported.
    """

    @contextlib.contextmanager
    def patcher(module: ModuleType) -> Iterator[None]:  # noqa: ARG001 - it finds them in sys.modules
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

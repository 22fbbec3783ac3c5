"""What must hold of the Bicep: every `check_…` of the modules beside this one.

Each is a function of its own, so that `test_mutants` can show that it finds something.
"""

import inspect
from collections.abc import Callable

from tests.infra import (
    check_baseline,
    check_events,
    check_files,
    check_keys,
    check_names,
    check_notifications,
    check_roles,
    check_running,
)
from tests.infra.bicep import Infra

ASSERTIONS: tuple[Callable[[Infra], None], ...] = tuple(
    function
    for module in (
        check_files,
        check_keys,
        check_baseline,
        check_names,
        check_events,
        check_notifications,
        check_roles,
        check_running,
    )
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("check_")
)

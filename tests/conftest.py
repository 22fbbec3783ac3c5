"""How Hypothesis tests: by counts of examples, never by the clock of a machine that may be busy."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "kedja",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    # In CI the same examples every time; elsewhere new ones, so that those who develop go on searching.
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("kedja")

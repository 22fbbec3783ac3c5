"""Tests of generated examples: their profiles, and the marker by which `make test-all` tries the full number of them.

By counts of examples, never by the clock of a machine that may be busy. A conftest imports the hook from here.
"""

import os

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.profiles import EXAMPLES, Profile

for _each in Profile:
    settings.register_profile(
        _each,
        max_examples=_each.scale(EXAMPLES),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        print_blob=True,
        # In CI the same examples every time; elsewhere new ones, so that those who develop go on searching.
        derandomize=bool(os.environ.get("CI")),
    )
settings.load_profile(Profile.chosen())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that Hypothesis runs."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.generated)

"""What all suites share that run in the service's environment."""

from tests.generated import pytest_collection_modifyitems

__all__ = ["pytest_collection_modifyitems"]

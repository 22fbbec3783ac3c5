"""The Bicep as it is."""

from collections.abc import Callable

import pytest

from tests.infra.assertions import ASSERTIONS
from tests.infra.bicep import Infra


@pytest.fixture(scope="module")
def infra() -> Infra:
    return Infra.load()


@pytest.mark.parametrize("holds", ASSERTIONS, ids=lambda function: function.__name__.removeprefix("check_"))
def test_it_holds(infra: Infra, holds: Callable[[Infra], None]) -> None:
    holds(infra)

"""The HTTP API against its own description: Schemathesis makes requests up, good and bad, for every route there is."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from function_app.http.api import create_api
from tests.end_to_end.world import World
from tests.unit.api import LOCAL

EXAMPLES = 12  # for each route; CI is to know in a minute

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def description(world_alone: World) -> Iterator[BaseSchema]:
    world = world_alone  # among what is made up are pauses and deletions
    world.drop({"data/described/x.bin": b"1", "scripts/described/train.py": b"print('no model')\n"})
    world.wait("described", "not_registered", "registered", "failed")
    yield schemathesis.openapi.from_url(f"{world.stack.functions_url}/api/openapi.json")
    assert world.http.delete("/api/pause").is_success


OPERATIONS = [
    (method.upper(), path)
    for path, item in create_api(lambda: pytest.fail("Nothing is asked for."), LOCAL).openapi()["paths"].items()
    for method in item
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_request_is_answered_with_what_is_not_described(description: BaseSchema, method: str, path: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=description[path][method].as_strategy())
    def ask(case: schemathesis.Case[Any]) -> None:
        if "live" in path:
            case.query = {**(case.query or {}), "wait": 0}  # what is asked is the answer, not how long it takes
        case.validate_response(case.call(timeout=60), checks=CHECKS)

    ask()

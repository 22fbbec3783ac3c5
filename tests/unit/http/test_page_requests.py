"""The page's requests match the HTTP API: a list that the API rejects would look empty."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from function_app.http.page import FOLDER
from tests.unit.api import API

_ADDRESS = re.compile(r'["`](/api/[^"`?]*?)(?:\$\{query\(\{([^}]*)\}\)\})?["`]')
_NUMBER = re.compile(r"^(?:export )?const ([A-Z]+) = ([\d_]+);", re.MULTILINE)
_FILTER = ("experiment", "status")
"""The parameters that the list of drops spreads into its query."""


def requests() -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """Yield each URL in the page's modules: file, path, and query, with constants replaced by their values."""
    sources = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.js"))}
    for name, text in sources.items():
        numbers = dict(_NUMBER.findall(text))
        for path, query in _ADDRESS.findall(text):
            parts = [part.strip() for part in query.split(",") if part.strip()]
            values = {key: value.strip() for key, _, value in (part.partition(":") for part in parts)}
            if values.pop("...filter", None) is not None:
                values |= dict.fromkeys(_FILTER, "")
            yield name, path, {key: numbers.get(value, value).replace("_", "") for key, value in values.items()}


REQUESTS = list(requests())
OPERATIONS: Mapping[str, Mapping[str, Any]] = API.openapi()["paths"]


def operations(path: str) -> Iterator[Mapping[str, Any]]:
    """Yield the API's operations at a path in the page's notation."""
    asked = re.sub(r"\$\{[^}]*\}", "{}", path)
    for known, methods in OPERATIONS.items():
        if re.sub(r"\{[^}]*\}", "{}", known) == asked:
            yield from methods.values()


def bounds(schema: Mapping[str, Any]) -> tuple[float, float]:
    return schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))


def test_the_requests_of_the_page_are_found() -> None:
    assert {path for _, path, _ in REQUESTS} >= {
        "/api/drops",
        "/api/experiments",
        "/api/events",
        "/api/models",
        "/api/live",
    }


@pytest.mark.parametrize(("name", "path", "query"), REQUESTS, ids=[f"{name} {path}" for name, path, _ in REQUESTS])
def test_the_api_takes_every_request_of_the_page(name: str, path: str, query: Mapping[str, str]) -> None:
    found = list(operations(path))
    assert found, f"{name} asks for {path}, which the API does not have"
    taken = {one["name"]: one["schema"] for operation in found for one in operation.get("parameters", ())}
    assert set(query) <= set(taken), f"{name} sends what {path} does not know"
    for key, value in query.items():
        if value.isdecimal():
            least, most = bounds(taken[key])
            assert least <= int(value) <= most, f"{name} asks {path} for {key}={value}"

"""Parses YAML text or JSON values into a model, and reports all problems at once: position, key, allowed values."""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from function_app.jobspec.budget import PROBLEMS, limited
from function_app.jobspec.fields import REFUSED, REQUIRED, did_you_mean, redacted_repr
from function_app.jobspec.problem import InvalidJobSpec, Path, SourceMap
from function_app.jobspec.yaml_source import MAX_DEPTH, MAX_VALUES, parse_yaml, scalar_problem

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "tuple_type": "a list",
}
_LONGEST_KEY = 80
_VARIABLES = "environment_variables"
_ALLOWED = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
"""Errors about a value that is not in a list, with the key of pydantic's context that has the list."""


def read_yaml[M: BaseModel](model: type[M], text: str | bytes, as_written: re.Pattern[str]) -> tuple[M, SourceMap]:
    """Parse and validate a YAML text; an empty one is an empty mapping.

    Numbers and booleans at (dotted) paths that match `as_written` are taken as the text in the file.

    Raises:
        InvalidJobSpec: The text has problems, given with line and column.
    """
    document = parse_yaml(text)
    values = {} if document.values is None else document.values
    for path, source in document.written.items():
        if as_written.fullmatch(".".join(map(str, path))) and _at(values, path) is not None:
            _at(values, path[:-1])[path[-1]] = source
    return _validated(model, values, document.places), document.places


def read_json[M: BaseModel](
    model: type[M], values: Mapping[str, object], *, most: float = MAX_VALUES
) -> tuple[M, SourceMap]:
    """Validate the values of a JSON document, at most `most` of them. The problems have no line.

    Raises:
        InvalidJobSpec: The document has problems, given with their keys.
    """
    places = SourceMap()
    if _are_more(values, most):
        raise InvalidJobSpec([places.problem((), f"there are more than {most} values")])
    unusable = _unusable(values, ())
    if problems := [places.problem(path, message) for path, message in islice(unusable, PROBLEMS)]:
        raise InvalidJobSpec(problems, more=sum(1 for _ in unusable))
    return _validated(model, dict(values), places), places


def _validated[M: BaseModel](model: type[M], values: object, places: SourceMap) -> M:
    with limited() as budget:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            items = budget.first(error.errors(include_url=False))
            found = [places.problem(_path(item, values), _message(item)) for item in items]
            # A wrong value may cause the same problem several times; each is reported once, in the order of the file.
            unique = sorted(set(found), key=lambda problem: (problem.line or 0, problem.column or 0, problem.key))
            raise InvalidJobSpec(unique, more=budget.dropped) from error


def _are_more(values: object, most: float) -> bool:
    """Return whether there are more than `most` values, including lists and mappings; stop counting there."""
    left: list[object] = [values]
    count = 0
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            inner: Collection[object] = value.values()
        elif isinstance(value, list):
            inner = value
        else:
            continue
        count += len(inner)
        if count > most:
            return True
        left.extend(inner)
    return False


def _unusable(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield a message for each value below `path` that a job cannot have."""
    if len(path) > MAX_DEPTH:
        yield path, f"nested more than {MAX_DEPTH} levels deep"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or scalar_problem(key):
                yield path, f"the key {str(key)[:_LONGEST_KEY]!r} is not printable text"
            else:
                yield from _unusable(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unusable(item, (*path, index))
    elif value is not None and not isinstance(value, bool | int | float | str):
        yield path, f"{type(value).__name__} is not a JSON value"
    elif message := scalar_problem(value):
        yield path, message


def _at(values: Any, path: Path) -> Any:  # noqa: ANN401 (plain values of any shape)
    for part in path:
        values = values[part]
    return values


def _path(item: Any, values: object) -> Path:  # noqa: ANN401 (pydantic's ErrorDetails)
    """Return the error's location without the names that pydantic inserts for members of a union."""
    kind, location = item["type"], item["loc"]
    if kind == REQUIRED:
        return tuple(location)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        location = (*location, "type")
    path: list[str | int] = []
    for index, part in enumerate(location):
        in_list = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if in_list or (isinstance(values, Mapping) and part in values):
            values = _at(values, (part,))
        elif kind not in ("missing", "union_tag_not_found") or index < len(location) - 1:
            continue
        path.append(part)
    return tuple(path)


def _message(item: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails, whose ctx holds anything)
    kind, value = item["type"], item["input"]
    if _VARIABLES in item["loc"] and isinstance(value, str | int | float):
        value = "…"  # it may be a secret, and the problem is shown on a receipt
    if kind in (REFUSED, REQUIRED):
        message = item["msg"]
    elif kind in ("missing", "union_tag_not_found"):
        message = "is required, but missing"
    elif value is None:
        message = "is empty; give it a value, or omit the key"
    elif kind in _ALLOWED:
        written = item["ctx"].get("tag", value)
        allowed = re.findall(r"'([^']*)'", item["ctx"][_ALLOWED[kind]])
        hint = did_you_mean(str(written), allowed)
        message = f"{redacted_repr(written)} is not allowed{hint} Allowed: {', '.join(allowed)}"
    elif kind in _EXPECTED:
        message = f"expected {_EXPECTED[kind]}, found {redacted_repr(value)}{_hint(kind, value)}"
    elif kind in ("too_short", "string_too_short"):
        message = f"is too short; it must have at least {item['ctx']['min_length']}"
    elif kind in ("too_long", "string_too_long"):
        message = f"is too long; it may have at most {item['ctx']['max_length']}"
    else:
        # Only bounds are left: "Input should be greater than or equal to 1".
        message = f"{item['msg'].replace('Input should', 'must')}, found {redacted_repr(value)}"
    return str(message)


def _hint(kind: str, value: object) -> str:
    if kind not in ("int_type", "float_type") or not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    if "e" in value.lower() and "." not in value:
        return "; YAML reads this as text, so write it with a decimal point, such as 1.0e-3"
    return "; remove the quotes"

"""Hostile inputs: what is right, made wrong in many ways, and what was never right."""

import base64
import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

HUGE = [0, -1, 1 << 31, 1 << 63, 1 << 64, 10**400, -(10**400), 1e308, 5e-324, float("inf"), float("-inf"), float("nan")]
ODD_TEXTS = [
    "",
    " ",
    "\0",
    "\n",
    "..",
    "../../etc/passwd",
    "/",
    "//",
    "a" * 300,
    "é" * 2000,
    "\ud800",
    "\u202e",
    "${{inputs.data}}",
    "$(id)",
    "';--",
    "%00",
    "%2e%2e%2f",
    "null",
    "1e999",
    "0x10",
    "True",
    "2026-01-01",
    "azureml:x@latest",
    "https://example.com/",
    "__proto__",
    "__class__",
    "{0.__class__}",
    "%s%n",
]

texts = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=40), st.text(st.characters(codec=None), max_size=20))
numbers = st.one_of(st.sampled_from(HUGE), st.integers(), st.floats())
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any JSON
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


def _changed(draw: st.DrawFn, value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value with something in it replaced, taken away, doubled, or put one level deeper."""
    path = draw(st.sampled_from(_paths(value)))
    if not path:
        return draw(st.sampled_from([value, [value], [value, value], {"": value}])) if draw(st.booleans()) else value
    holder = value
    for part in path[:-1]:
        holder = holder[part]
    kind = draw(st.sampled_from(["replace", "replace", "replace", "delete", "wrap", "rename", "add"]))
    if kind == "delete":
        del holder[path[-1]]
    elif kind == "wrap":
        holder[path[-1]] = draw(st.sampled_from([[holder[path[-1]]], {"x": holder[path[-1]]}, [holder[path[-1]]] * 3]))
    elif kind == "rename" and isinstance(holder, dict):
        item = holder.pop(path[-1])
        holder[draw(st.one_of(texts, st.just(str(path[-1]).upper())))] = item
    elif kind == "add" and isinstance(holder, dict):
        holder[draw(texts)] = draw(json_values)
    else:
        holder[path[-1]] = draw(json_values)
    return value


@st.composite
def mutated(draw: st.DrawFn, examples: Sequence[Any]) -> Any:  # noqa: ANN401 - as above
    """Return a JSON value that is one of the examples with up to four changes."""
    value = copy.deepcopy(draw(st.sampled_from(list(examples))))
    for _ in range(draw(st.integers(0, 4))):
        value = _changed(draw, value)
    return value


@st.composite
def corrupted(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """Return bytes that are flipped, cut, doubled, overwritten or added to in up to six places."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "flip", "set", "cut", "insert", "remove", "double"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[at : at + 4] = draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80"]))
        elif kind == "cut":
            del data[at:]
        elif kind == "remove":
            del data[at : at + draw(st.integers(1, 16))]
        elif kind == "double":
            data[at:at] = data[at : at + 64]
        else:
            data[at:at] = draw(st.binary(max_size=12))
    return bytes(data)


def encoded(value: Any) -> bytes:  # noqa: ANN401 - as above
    return json.dumps(value).encode()


deep = st.builds(
    lambda opening, closing, depth: (opening * depth + closing * depth).encode(),
    st.sampled_from(["[", '{"a":', "[[", '{"data":[']),
    st.sampled_from(["", "]", "}", "]}"]),
    st.sampled_from([10, 500, 5_000, 100_000]),
)
"""Nesting that is deep, balanced or not."""


def bodies(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Return what may come as the body of a message: JSON, Base64 of it, pieces of it, or anything at all."""
    plain = values.map(encoded)
    return st.one_of(
        plain,
        plain,
        plain.map(base64.b64encode),
        corrupted(plain),
        corrupted(plain.map(base64.b64encode)),
        st.lists(values, max_size=3).map(encoded),
        st.just(b'{"a": 1' + b"0" * 5000 + b"}"),
        deep,
        st.binary(max_size=200),
        st.text(max_size=60).map(lambda text: text.encode("utf-16")),
    )

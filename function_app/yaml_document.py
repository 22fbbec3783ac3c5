"""YAML text to plain values, with the place of each.

It reads what `az ml` reads (YAML 1.1, through PyYAML), and less of it: no anchors, aliases, tags, duplicate keys, or
keys that are not text. Two readings of YAML 1.1 that nobody means are left out: `12:30` and `2026-01-31` stay text.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import override

import yaml
from attrs import Factory, define, frozen

from function_app.errors import InvalidJobSpec
from function_app.job_problem import Path, Places, Position, Problem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
_LARGEST_INT = 2**63 - 1

# YAML's printable characters (YAML 1.2, production 1), which leave out lone surrogates too.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = "tag:yaml.org,2002:"


@frozen
class YamlDocument:
    """A parsed text. `values` holds dict, list, str, int, float, bool and None alone.

    `written` has the source text of each number and truth value, so that `1.10` need not become `1.1` where text is
    wanted. `places` knows where each key or list item begins.
    """

    values: object
    written: Mapping[Path, str]
    places: Places


def parse_yaml(text: str | bytes) -> YamlDocument:
    """Parse one YAML document of at most `MAX_BYTES`; an empty text gives None.

    Raises:
        InvalidJobSpec: with line and column of each problem.
    """
    decoded = _decode(text)
    loader = _Loader(decoded)
    try:
        node = loader.get_single_node()
        reader = _Reader(loader)
        values = None if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InvalidJobSpec([_at(mark, f"not valid YAML: {error.problem or error.context}")]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets the errors of chr() and int() through where an escape or a directive is out of range.
        raise InvalidJobSpec([_at(loader.get_mark(), f"not valid YAML: {error}")]) from error
    finally:
        loader.dispose()
    if reader.problems:
        raise InvalidJobSpec(reader.problems)
    return YamlDocument(values, reader.written, Places({(): Position(1, 1), **reader.positions}))


def scalar_problem(value: object) -> str | None:
    """Return why a plain value cannot stand in a job, or None where it can."""
    match value:
        case str() if found := _NOT_PRINTABLE.search(value):
            return f"holds the character U+{ord(found.group()):04X}, which is not allowed"
        case bool():
            return None
        case int() if abs(value) > _LARGEST_INT:
            return "is too large for a whole number of 64 bits"
        case float() if not math.isfinite(value):
            return "must be a finite number"
        case _:
            return None


def _decode(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    if len(raw) > MAX_BYTES:
        raise InvalidJobSpec([Problem(1, 1, "", f"the file has {len(raw)} bytes; at most {MAX_BYTES} are allowed")])
    try:
        decoded = raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        raise InvalidJobSpec([_in(before, "not UTF-8 text; save the file as UTF-8")]) from error
    found = _NOT_PRINTABLE.search(decoded)
    if found:
        raise InvalidJobSpec([_in(decoded[: found.start()], f"the text {scalar_problem(found.group())}")])
    return decoded


def _in(before: str, message: str) -> Problem:
    lines = before.split("\n")
    return Problem(len(lines), len(lines[-1]) + 1, "", message)


def _at(mark: yaml.Mark | None, message: str) -> Problem:
    return Problem(None, None, "", message) if mark is None else Problem(mark.line + 1, mark.column + 1, "", message)


class _Loader(yaml.SafeLoader):
    """PyYAML's composer, made to stop at what is not allowed before it is built."""

    depth = 0

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # The event is read, not taken: the inherited method takes it.
        event = self.peek_event()  # type: ignore[no-untyped-call]
        refused = None  # without the name: a password may begin with such a sign
        if isinstance(event, yaml.AliasEvent):
            refused = "an alias (*) is not allowed; write the value out, or put it in quotes"
        elif event.anchor is not None:
            refused = "an anchor (&) is not allowed; write each value out, or put it in quotes"
        elif event.tag is not None:
            refused = "a tag (!) is not allowed; leave it out, or put the value in quotes"
        elif self.depth == MAX_DEPTH:
            refused = f"nested more than {MAX_DEPTH} deep"
        if refused:
            raise InvalidJobSpec([_at(event.start_mark, refused)])
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


@define
class _Reader:
    """Turns composed nodes into plain values, and keeps what it meets on the way."""

    loader: _Loader
    positions: dict[Path, Position] = Factory(dict)
    written: dict[Path, str] = Factory(dict)
    problems: list[Problem] = Factory(list)

    def read(self, node: yaml.Node, path: Path) -> object:
        if isinstance(node, yaml.MappingNode):
            return {key: self.read(value, (*path, key)) for key, value in self._entries(node, path)}
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._place((*path, index), item)
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise TypeError(f"YAML has no such node: {node!r}")
        value = self._scalar(node)
        message = scalar_problem(value)
        if message:
            self._refuse(path, node, message)
        if not isinstance(value, str):
            self.written[path] = node.value
        return value

    def _entries(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the entries whose key can be used, with the key's place kept."""
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                written = f"{key_node.value} is" if isinstance(key_node, yaml.ScalarNode) else "this is"
                self._refuse(path, key_node, f"a key must be text, and {written} not; put it in quotes")
            elif (*path, key) in self.positions:
                first = self.positions[(*path, key)].line
                self._refuse((*path, key), key_node, f"stands twice; the first is in line {first}")
            elif scalar_problem(key):
                self._refuse(path, key_node, f"a key {scalar_problem(key)}")
            else:
                self._place((*path, key), key_node)
                yield key, value_node

    def _scalar(self, node: yaml.ScalarNode) -> object:
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return self.loader.construct_yaml_bool(node)
            case "int" if ":" not in node.value:
                return self.loader.construct_yaml_int(node)
            case "float" if ":" not in node.value:
                return self.loader.construct_yaml_float(node)
            case _:
                return str(node.value)

    def _place(self, path: Path, node: yaml.Node) -> None:
        self.positions[path] = Position(node.start_mark.line + 1, node.start_mark.column + 1)

    def _refuse(self, path: Path, node: yaml.Node, message: str) -> None:
        place = Places({path: Position(node.start_mark.line + 1, node.start_mark.column + 1)})
        self.problems.append(place.problem(path, message))

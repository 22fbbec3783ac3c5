"""Parses YAML text into plain values, with the position of each.

It reads a subset of what `az ml` reads (YAML 1.1, as PyYAML does): no anchors, aliases, tags, duplicate keys, or keys
that are not text. Two surprising rules of YAML 1.1 are left out: `12:30` and `2026-01-31` stay text. libyaml reads the
text event by event, and reading stops at the first thing that is not allowed.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml
from attrs import Factory, define, frozen

from function_app.jobspec.problem import InvalidJobSpec, Path, SourceMap, SourcePosition, SpecProblem

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 10_000
"""Max values in a document, including lists and mappings: each costs time, above all if it is wrong."""
_LARGEST_INT = 2**63 - 1

# Everything but YAML's printable characters (YAML 1.2, production 1), which also exclude lone surrogates.
_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TAG = "tag:yaml.org,2002:"
_UNREADABLE = object()
"""Stands for a number that Python cannot read."""


@frozen
class YamlDocument:
    """A parsed text. `values` consists only of dict, list, str, int, float, bool and None.

    `written` has the source text of each number and boolean, so that `1.10` does not become `1.1` if text is expected.
    `places` has the position of each key and list item.
    """

    values: object
    written: Mapping[Path, str]
    places: SourceMap


def parse_yaml(text: str | bytes) -> YamlDocument:
    """Parse one YAML document of at most `MAX_BYTES`; an empty text gives None.

    Raises:
        InvalidJobSpec: The text has problems, given with line and column.
    """
    decoded = _decode(text)
    reader = _Reader(yaml.CSafeLoader(decoded))
    try:
        values = reader.read_document()
    except yaml.MarkedYAMLError as error:
        raise InvalidJobSpec([_syntax_error(error, decoded)]) from error
    except yaml.YAMLError as error:
        raise InvalidJobSpec([SpecProblem(None, None, "", f"not valid YAML: {error}")]) from error
    if reader.problems:
        raise InvalidJobSpec(reader.problems)
    return YamlDocument(values, reader.written, SourceMap({(): SourcePosition(1, 1), **reader.positions}))


def scalar_problem(value: object) -> str | None:
    """Return why a job cannot have a plain value, or None if it can."""
    match value:
        case str() if found := _NOT_PRINTABLE.search(value):
            return f"contains the character U+{ord(found.group()):04X}, which is not allowed"
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
        raise InvalidJobSpec([SpecProblem(1, 1, "", f"the file has {len(raw)} bytes; at most {MAX_BYTES} are allowed")])
    try:
        decoded = raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        raise InvalidJobSpec([_in(before, "not UTF-8 text; save the file as UTF-8")]) from error
    found = _NOT_PRINTABLE.search(decoded)
    if found:
        raise InvalidJobSpec([_in(decoded[: found.start()], f"the text {scalar_problem(found.group())}")])
    return decoded


def _in(before: str, message: str) -> SpecProblem:
    lines = before.split("\n")
    return SpecProblem(len(lines), len(lines[-1]) + 1, "", message)


def _at(mark: yaml.Mark, message: str) -> SpecProblem:
    return SpecProblem(mark.line + 1, mark.column + 1, "", message)


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> SpecProblem:
    mark = error.problem_mark or error.context_mark
    message = f"not valid YAML: {error.problem or error.context}"
    if mark is None:
        return SpecProblem(None, None, "", message)
    lines = _LINE_BREAK.split(text)
    if mark.line >= len(lines):  # libyaml counts the end of a text as the beginning of one more line
        return SpecProblem(len(lines), len(lines[-1]) + 1, "", message)
    return _at(mark, message)


@define
class _Reader:
    """Converts events to plain values, and collects their positions, source texts and problems."""

    loader: Any
    """A `yaml.CSafeLoader`, for which PyYAML's stubs are incomplete."""
    positions: dict[Path, SourcePosition] = Factory(dict)
    written: dict[Path, str] = Factory(dict)
    problems: list[SpecProblem] = Factory(list)
    depth: int = 0
    count: int = 0

    def read_document(self) -> object:
        """Return the document's value, or None if the text is empty.

        Raises:
            InvalidJobSpec: Something is not allowed, so that reading stops.
        """
        values = None
        self._next()  # the stream's start
        if not isinstance(self._next(), yaml.StreamEndEvent):  # a document's start
            values = self._read(self._node(), ())
            self._next()  # the document's end
            event = self._next()
            if not isinstance(event, yaml.StreamEndEvent):
                raise InvalidJobSpec([_at(event.start_mark, "not valid YAML: but found another document")])
        return values

    def _next(self) -> Any:  # noqa: ANN401 (as the loader)
        return self.loader.get_event()

    def _node(self) -> Any:  # noqa: ANN401 (as the loader)
        """Return the event that begins the next value or key, or ends its list or mapping."""
        event = self._next()
        if isinstance(event, yaml.CollectionEndEvent):
            return event
        refused = None  # without the name: a password may begin with such a character
        if isinstance(event, yaml.AliasEvent):
            refused = "an alias (*) is not allowed; write the value out, or put it in quotes"
        elif event.anchor is not None:
            refused = "an anchor (&) is not allowed; write each value out, or put it in quotes"
        elif event.tag is not None:
            refused = "a tag (!) is not allowed; remove it, or put the value in quotes"
        elif self.depth == MAX_DEPTH:
            refused = f"nested more than {MAX_DEPTH} levels deep"
        elif self.count == MAX_VALUES:
            refused = f"there are more than {MAX_VALUES} values"
        if refused:
            raise InvalidJobSpec([_at(event.start_mark, refused)])
        self.count += 1
        return event

    def _read(self, event: Any, path: Path) -> object:  # noqa: ANN401 (as the loader)
        """Return the value that begins with an event."""
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        self.depth += 1
        values = self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)
        self.depth -= 1
        return values

    def _list(self, path: Path) -> list[object]:
        values: list[object] = []
        while not isinstance(event := self._node(), yaml.CollectionEndEvent):
            self._place((*path, len(values)), event)
            values.append(self._read(event, (*path, len(values))))
        return values

    def _mapping(self, path: Path) -> dict[str, object]:
        """Read the entries with valid keys; record a problem for each other entry."""
        values: dict[str, object] = {}
        while not isinstance(event := self._node(), yaml.CollectionEndEvent):
            self.count -= 1  # a key and its value count as one
            key = self._key(event, path)
            value = self._node()
            if key is None:
                self._pass_over(value)
            else:
                values[key] = self._read(value, (*path, key))
        return values

    def _key(self, event: Any, path: Path) -> str | None:  # noqa: ANN401 (as the loader)
        """Return a key, or None if it is not valid."""
        is_scalar = isinstance(event, yaml.ScalarEvent)
        key = self._plain(event) if is_scalar else None
        if not isinstance(key, str):
            self._pass_over(event)
            written = f"{event.value} is" if is_scalar else "this is"
            self._refuse(path, event, f"a key must be text, and {written} not; put it in quotes")
        elif (*path, key) in self.positions:
            first = self.positions[(*path, key)].line
            self._refuse((*path, key), event, f"is a duplicate; the first is in line {first}")
        elif message := scalar_problem(key):
            self._refuse(path, event, f"a key {message}")
        else:
            self._place((*path, key), event)
            return key
        return None

    def _pass_over(self, event: Any) -> None:  # noqa: ANN401 (as the loader)
        """Skip to the end of a value."""
        if not isinstance(event, yaml.CollectionStartEvent):
            return
        self.depth += 1
        while not isinstance(inner := self._node(), yaml.CollectionEndEvent):
            self._pass_over(inner)
        self.depth -= 1

    def _scalar(self, event: Any, path: Path) -> object:  # noqa: ANN401 (as the loader)
        value = self._plain(event)
        message = (
            "not valid YAML: a number that cannot be read; put it in quotes if it is text"
            if value is _UNREADABLE
            else scalar_problem(value)
        )
        if message:
            self._refuse(path, event, message)
        if not isinstance(value, str):
            self.written[path] = event.value
        return value

    def _plain(self, event: Any) -> object:  # noqa: ANN401 (as the loader)
        tag = str(self.loader.resolve(yaml.ScalarNode, event.value, event.implicit)).removeprefix(_TAG)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)
        try:
            match tag:
                case "null":
                    return None
                case "bool":
                    return self.loader.construct_yaml_bool(node)
                case "int" if ":" not in event.value:
                    return self.loader.construct_yaml_int(node)
                case "float" if ":" not in event.value:
                    return self.loader.construct_yaml_float(node)
                case _:
                    return str(event.value)
        except ValueError:  # 0b_, or more digits than Python reads
            return _UNREADABLE

    def _place(self, path: Path, event: Any) -> None:  # noqa: ANN401 (as the loader)
        self.positions[path] = SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)

    def _refuse(self, path: Path, event: Any, message: str) -> None:  # noqa: ANN401 (as the loader)
        place = SourceMap({path: SourcePosition(event.start_mark.line + 1, event.start_mark.column + 1)})
        self.problems.append(place.problem(path, message))

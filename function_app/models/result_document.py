"""A job's result as JSON, read piece by piece.

A job writes this document, so it may be crafted to exhaust memory: by millions of tiny entries, one string of 32 MiB,
or nested lists. It is read as a stream of events: unneeded values are skipped, and reading stops at the first mistake.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import ijson
from attrs import define, field, frozen

from function_app.errors import Unreadable

MOST_EVENTS = 6_500_000
"""Max keys, values and ends of lists and mappings that are read. A file has eight of them, a metric two."""
LONGEST_TEXT = 2 << 20
"""Max bytes between two events: longer strings, numbers or white space are refused."""
DEEPEST = 32
MOST_METRICS = 20_000
"""Max metrics that are kept, in the order of the document; the others are only counted."""
LONGEST_NAME = 1024
"""Max characters in the name of a metric that is kept."""
LONGEST_PATH = 1024
"""Max characters of a blob's name
(https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata)."""
LARGEST_FILE = 1 << 63
MOST_NOTES, LONGEST_NOTE = 50, 500
"""How many notes are kept, the first ones, and how many characters of each."""

_PIECE = 16 << 10
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OPENING = ("start_map", "start_array")
_CLOSING = ("end_map", "end_array")

type Events = Iterator[tuple[str, Any]]
"""Pairs of a kind of event and its value, as `ijson.basic_parse` yields them."""


class Malformed(Unreadable):
    """The document is not a valid result of a job."""


class OutputFile(NamedTuple):
    """A file under the job's outputs. `size` in bytes, `sha256` in hex."""

    size: int
    sha256: str


@frozen(kw_only=True)
class ResultDocument:
    """A parsed result. `values` has scalar values by key; `metrics_total` also counts metrics that are not kept.

    A note is one line.
    """

    values: Mapping[str, object]
    metrics: Mapping[str, float]
    metrics_total: int
    notes: tuple[str, ...]
    files: Mapping[str, OutputFile]


def read_result(
    data: bytes, keys: Collection[str], *, limit: int, metric: str | None = None, files: bool = True
) -> ResultDocument:
    """Read a result of at most `limit` bytes: the values of `keys`, the metrics, the notes and the files.

    The metric called `metric` is kept however many there are; with `files=False` the files are skipped.

    Raises:
        Malformed: The document is not a valid result; the message says why.
    """
    if len(data) > limit:
        raise Malformed(f"it has more than {limit >> 20} MiB; put small files into archives")
    events = _events(data)
    values: dict[str, object] = {}
    metrics = _Metrics(metric)
    notes: list[str] = []
    found: dict[str, OutputFile] = {}
    _enter(events, "start_map", "the document is not a mapping")
    for key in _keys(events):
        if key == "metrics":
            metrics.read(events)
        elif key == "notes":
            _read_notes(events, notes)
        elif key == "files" and files:
            _read_files(events, found)
        else:
            event, value = next(events)
            _skip(events, event)
            if key in keys and event not in _OPENING:
                values[key] = value
    for _ in events:  # raises if anything follows the document
        break
    return ResultDocument(
        values=values, metrics=metrics.kept, metrics_total=metrics.total, notes=tuple(notes), files=found
    )


@define
class _Pieces:
    """The document as a file. `silent` counts the bytes read since the last event."""

    data: bytes
    position: int = 0
    silent: int = 0

    def read(self, size: int) -> bytes:
        piece = self.data[self.position : self.position + size]
        self.position += len(piece)
        self.silent += len(piece)
        if self.silent > LONGEST_TEXT:
            raise Malformed(f"it has a string of more than {LONGEST_TEXT} bytes")
        return piece


def _events(data: bytes) -> Events:
    pieces = _Pieces(data)
    try:
        for number, event in enumerate(ijson.basic_parse(pieces, buf_size=_PIECE, use_float=True)):
            if number == MOST_EVENTS:
                raise Malformed(f"it has more than {MOST_EVENTS:,} keys and values")
            pieces.silent = 0
            yield event
    except (ijson.JSONError, ValueError) as error:
        message = error.args[0] if error.args else ""
        text = message.decode(errors="replace") if isinstance(message, bytes) else str(message)
        raise Malformed(f"it is not JSON ({text.partition('\n')[0].strip()[:100]})") from error


def _enter(events: Events, opening: str, refusal: str) -> None:
    event, _ = next(events)
    if event != opening:
        raise Malformed(refusal)


def _keys(events: Events) -> Iterator[str]:
    """Yield the keys of a mapping; the caller reads each key's value before it asks for the next key."""
    for event, value in events:
        if event == "end_map":
            return
        yield value


def _skip(events: Events, event: str) -> None:
    """Read to the end of the value that begins with this event."""
    depth = int(event in _OPENING)
    while depth:
        event, _ = next(events)
        depth += (event in _OPENING) - (event in _CLOSING)
        if depth > DEEPEST:
            raise Malformed(f"it is nested more than {DEEPEST} levels deep")


@define
class _Metrics:
    """The metrics of a job as they are read. The metric called `wanted` is kept in any case."""

    wanted: str | None
    kept: dict[str, float] = field(factory=dict)
    total: int = 0

    def read(self, events: Events) -> None:
        _enter(events, "start_map", "metrics: is not a mapping")
        for name in _keys(events):
            event, value = next(events)
            # JSON has no NaN and no infinity, so these are strings.
            if event not in ("number", "string"):
                raise Malformed(f"metrics.{name[:80]}: is not a number")
            if name in self.kept:
                self.kept[name] = _number(name, value)
                continue
            self.total += 1
            if name == self.wanted or (len(self.kept) < MOST_METRICS and len(name) <= LONGEST_NAME):
                self.kept[name] = _number(name, value)


def _number(name: str, value: float | str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise Malformed(f"metrics.{name[:80]}: is not a number") from error


def _read_notes(events: Events, found: list[str]) -> None:
    _enter(events, "start_array", "notes: is not a list")
    for event, value in events:
        if event == "end_array":
            return
        if event != "string":
            raise Malformed("notes: is not a list of strings")
        if len(found) < MOST_NOTES:
            found.append(" ".join(value[: 2 * LONGEST_NOTE].split())[:LONGEST_NOTE])


def _read_files(events: Events, found: dict[str, OutputFile]) -> None:
    _enter(events, "start_array", "files: is not a list")
    for event, _ in events:
        if event == "end_array":
            return
        if event != "start_map":
            raise Malformed(f"files[{len(found)}]: is not a mapping")
        path, file = _file(events, f"files[{len(found)}]")
        found[path] = file


def _file(events: Events, where: str) -> tuple[str, OutputFile]:
    path = sha256 = ""
    size = -1
    for key in _keys(events):
        event, value = next(events)
        if key == "path" and event == "string":
            path = value
        elif key == "size" and event == "number" and isinstance(value, int):
            size = value
        elif key == "sha256" and event == "string":
            sha256 = value
        else:
            _skip(events, event)
    if not 0 < len(path) <= LONGEST_PATH:
        raise Malformed(f"{where}: its path must be a string of at most {LONGEST_PATH} characters")
    if not 0 <= size < LARGEST_FILE:
        raise Malformed(f"{where}: its size must be a number of bytes")
    # This also bounds how many files there can be: no entry is shorter.
    if not _SHA256.fullmatch(sha256):
        raise Malformed(f"{where}: its sha256 must be 64 hexadecimal digits")
    return path, OutputFile(size, sha256)

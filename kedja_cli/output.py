"""What the command prints: tables on a terminal, tabs into a pipe, JSON for programs. Messages go to stderr.

Logs, names and reasons come from jobs and from people who drop files, so `printable` removes what a terminal would
interpret.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import define, field

from kedja_cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "registered": "green",
    "ok": "green",
    "running": "cyan",
    "starting": "cyan",
    "submitted": "cyan",
    "queued": "cyan",
    "submitting": "cyan",
    "completed": "cyan",
    "waiting": "yellow",
    "canceling": "yellow",
    "warning": "yellow",
    "not_registered": "yellow",
    "superseded": "bright_black",
    "canceled": "bright_black",
    "rejected": "red",
    "failed": "red",
}
"""Colours of statuses. The word is always printed too, so no information is in the colour alone."""

_COUNTERS = ("epoch", "iteration", "elapsed_time")

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, marks that change the direction of text, and surrogates."""
_FOLDED = str.maketrans("\t\n", "  ")

type Row = Sequence[str | None]


@define(slots=False)
class Output:
    """Prints the output. With `as_json`, stdout has only JSON."""

    as_json: bool = False
    _ended_with_return: bool = field(default=False, init=False)

    @cached_property
    def out(self) -> "Console":
        """The console of stdout."""
        from rich.console import Console  # noqa: PLC0415 - not needed for JSON

        return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)

    @cached_property
    def err(self) -> "Console":
        """The console of stderr."""
        from rich.console import Console  # noqa: PLC0415 - as above

        return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def json(self, document: object) -> None:
        """Print one document."""
        print(_dumps(document, indent=2))  # noqa: T201 - this is the output

    def json_line(self, document: object) -> None:
        """Print one of many documents on one line, unbuffered."""
        print(_dumps(document), flush=True)  # noqa: T201 - as above

    def table(self, headings: Sequence[str], rows: Iterable[Row], empty: str) -> None:
        """Print a table, or the message `empty` if there are no rows. Into a pipe, print tabs and no headings.

        Without `headings`, the rows continue a table that was printed before.
        """
        found = [[printable(cell or "") for cell in row] for row in rows]
        if not found:
            self.note(empty)
        elif not self.out.is_terminal:
            for row in found:
                self.write("\t".join(cell.translate(_FOLDED) for cell in row) + "\n")
        elif not headings:
            for row in found:
                self.line("  ".join(row).rstrip())
        else:
            from rich.table import Table  # noqa: PLC0415 - as the console
            from rich.text import Text  # noqa: PLC0415

            table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
            for heading in headings:
                table.add_column(heading.upper(), overflow="fold")
            for row in found:
                table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
            self.out.print(table, soft_wrap=False)

    def facts(self, facts: Mapping[str, str | None]) -> None:
        """Print names and values, except empty values."""
        values = {name: value for name, value in facts.items() if value}
        width = max(map(len, values), default=0)
        for name, value in values.items():
            self.out.print(f"{name:<{width}}", style="dim", end="  ")
            self.out.print(printable(value), style=STYLES.get(value, ""))

    def line(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.out.print(printable(text), style=style)

    def write(self, text: str) -> None:
        """Print a part of a longer text, such as a log."""
        if self._ended_with_return:  # which ended a line already; with this line feed it is the same line end
            text = text.removeprefix("\n")
        self._ended_with_return = text.endswith("\r")
        sys.stdout.write(printable(text))
        sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        """Print a message for people to stderr; nothing with `as_json`."""
        if not self.as_json:
            self.err.print(printable(text), style=style)

    def error(self, error: CommandError) -> None:
        """Print an error and what to do about it to stderr."""
        if self.as_json:
            document: dict[str, Any] = {
                "error": str(error),
                "details": list(error.details),
                "what_to_do": error.what_to_do,
                "exit_code": int(error.code),
            }
            print(_dumps(document), file=sys.stderr)  # noqa: T201 - as above
            return
        self.err.print("error: ", style="bold red", end="")
        self.err.print(printable(str(error)))
        for detail in error.details:
            self.err.print(printable(f"  {detail}"))
        if error.what_to_do:
            self.err.print(printable(str(error.what_to_do)), style="dim")


def printable(text: str) -> str:
    r"""Return text without anything that a terminal would interpret: it is removed, or escaped, such as `\x1b`.

    Colours are removed. A carriage return, which would let a line overwrite itself, begins a new line. Tabs and line
    feeds stay.
    """
    lines = _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), lines)


def _dumps(document: object, indent: int | None = None) -> str:
    """Return JSON with the same characters escaped; JSON itself requires that only for the first 32."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def format_size(count: float) -> str:
    """Return a number of bytes in a readable unit: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the next unit
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def pluralize(count: int, what: str) -> str:
    """Return a count with its noun: `1 file`, `2 files`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def format_time(text: str | None) -> str:
    """Return a time of the API (ISO 8601, UTC) in the time zone of this machine, to the second."""
    from datetime import datetime  # noqa: PLC0415 - only lists need it

    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else ""


def format_metrics(metrics: Mapping[str, float] | None) -> str:
    """Return metrics in one line: `accuracy 0.97, loss 0.1`.

    Counters of steps and time are left out, and so are paths such as `validation/main/loss` if there are plain names.
    """
    values = {name: value for name, value in (metrics or {}).items() if name not in _COUNTERS}
    plain = {name: value for name, value in values.items() if "/" not in name}
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted((plain or values).items()))

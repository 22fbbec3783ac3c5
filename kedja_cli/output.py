"""What the command prints: tables for people, tabs for pipes, JSON for programs. Everything else goes to stderr.

Logs, names and reasons come from jobs and from whoever dropped files, so nothing of them reaches a terminal but text:
see `plain`.
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
"""Colours of statuses. The word stands beside it always, so that nothing is told by colour alone."""

_COUNTERS = ("epoch", "iteration", "elapsed_time")

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, marks that turn the direction of text, and what no encoding can print."""
_FOLDED = str.maketrans("\t\n", "  ")

type Row = Sequence[str | None]


@define(slots=False)
class Screen:
    """Where output goes. With `as_json` stdout has JSON alone, without markup."""

    as_json: bool = False
    _ended_with_return: bool = field(default=False, init=False)

    @cached_property
    def out(self) -> "Console":
        from rich.console import Console  # noqa: PLC0415 - an answer in JSON needs none of it

        return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)

    @cached_property
    def err(self) -> "Console":
        from rich.console import Console  # noqa: PLC0415 - as above

        return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def json(self, document: object) -> None:
        """Print one document."""
        print(_json(document, indent=2))  # noqa: T201 - this is the output

    def json_line(self, document: object) -> None:
        """Print one of many documents, and at once."""
        print(_json(document), flush=True)  # noqa: T201 - as above

    def table(self, headings: Sequence[str], rows: Iterable[Row], empty: str) -> None:
        """Print rows; `empty` is said where there are none. Into a pipe they go with tabs and without headings.

        Without `headings` they are rows that follow others, which were printed before.
        """
        found = [[plain(cell or "") for cell in row] for row in rows]
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
        """Print names with their values, those that have one."""
        told = {name: value for name, value in facts.items() if value}
        width = max(map(len, told), default=0)
        for name, value in told.items():
            self.out.print(f"{name:<{width}}", style="dim", end="  ")
            self.out.print(plain(value), style=STYLES.get(value, ""))

    def line(self, text: str, style: str = "") -> None:
        self.out.print(plain(text), style=style)

    def write(self, text: str) -> None:
        """Write a piece of a longer text, such as a log."""
        if self._ended_with_return:  # which was a line's end by itself; with this line feed it is still one
            text = text.removeprefix("\n")
        self._ended_with_return = text.endswith("\r")
        sys.stdout.write(plain(text))
        sys.stdout.flush()

    def note(self, text: str, style: str = "dim") -> None:
        """Say something beside the output, to people only."""
        if not self.as_json:
            self.err.print(plain(text), style=style)

    def error(self, error: CommandError) -> None:
        """Say why the command cannot go on, and what to do."""
        if self.as_json:
            told: dict[str, Any] = {
                "error": str(error),
                "details": list(error.details),
                "what_to_do": error.what_to_do,
                "exit_code": int(error.code),
            }
            print(_json(told), file=sys.stderr)  # noqa: T201 - as above
            return
        self.err.print("error: ", style="bold red", end="")
        self.err.print(plain(str(error)))
        for detail in error.details:
            self.err.print(plain(f"  {detail}"))
        if error.what_to_do:
            self.err.print(plain(str(error.what_to_do)), style="dim")


def plain(text: str) -> str:
    r"""Return text that a terminal only shows: what it would obey is left out or written as an escape, such as `\x1b`.

    Colours are left out. A carriage return, with which a line could overwrite itself, begins a new line. Tabs and line
    feeds stay.
    """
    lines = _COLOUR.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), lines)


def _json(document: object, indent: int | None = None) -> str:
    """Return JSON in which the same characters are escaped: JSON itself demands that only of the first 32."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def size(count: float) -> str:
    """Return a number of bytes as people read it: `1.5 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - the next unit
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def counted(count: int, what: str) -> str:
    """Return a number of things: `1 file`, `2 files`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def when(text: str | None) -> str:
    """Return a time of the API's (ISO 8601, UTC) in this machine's time zone, to the second."""
    from datetime import datetime  # noqa: PLC0415 - for lists alone

    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S") if text else ""


def numbers(metrics: Mapping[str, float] | None) -> str:
    """Return metrics in one line: `accuracy 0.97, loss 0.1`.

    What counts steps and time is left out, and paths such as `validation/main/loss` where there are plain names too.
    """
    told = {name: value for name, value in (metrics or {}).items() if name not in _COUNTERS}
    plain = {name: value for name, value in told.items() if "/" not in name}
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted((plain or told).items()))

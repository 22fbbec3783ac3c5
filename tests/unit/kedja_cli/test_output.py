import io
import json
import unicodedata
from pathlib import Path

import pytest
from rich.console import Console

from kedja_cli import output
from kedja_cli.errors import CommandError
from kedja_cli.files.local_file import LocalFile
from kedja_cli.files.upload_progress import UploadProgress
from kedja_cli.output import Output


def terminal() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=True, width=100, color_system=None, soft_wrap=True, markup=False), text


def test_table_has_headings_on_a_terminal() -> None:
    printer = Output()
    printer.out, text = terminal()
    printer.table(("job", "status"), [("[red]a", "failed"), (None, "running")], "none")
    assert [line.rstrip() for line in text.getvalue().splitlines()] == [
        "JOB     STATUS",
        "[red]a  failed",
        "        running",
    ]


def test_no_color_turns_colours_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output().out.no_color


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_are_read_by_people(count: int, words: str) -> None:
    assert output.format_size(count) == words


def test_metrics_are_printed_by_their_plain_names_without_counters() -> None:
    metrics = {"epoch": 20.0, "elapsed_time": 3.4, "loss": 0.1, "validation/main/loss": 0.2, "accuracy": 0.97123}
    assert output.format_metrics(metrics) == "accuracy 0.9712, loss 0.1"
    assert output.format_metrics({"validation/main/loss": 0.2}) == "validation/main/loss 0.2"
    assert output.format_metrics(None) == ""


# What a terminal would obey.

EVIL = "a\x1b]0;title\x07b\x1b[2Jc\x9b2Jd\x08e\x7ff\u202eg\u2066h\ud800i\x00j"
SHOWN = "a\\x1b]0;title\\x07b\\x1b[2Jc\\x9b2Jd\\x08e\\x7ff\\u202eg\\u2066h\\ud800i\\x00j"
"""The same, with each character as an escape that only shows."""


def obeyed(text: str) -> list[str]:
    """Return what a terminal would not just show, of what was printed."""
    turning = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return [one for one in text if one in turning or (unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t")]


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
def test_no_character_that_a_terminal_obeys_is_printed(code: int) -> None:
    shown = output.printable(f"a{chr(code)}b")
    assert obeyed(shown) == []
    assert shown == {9: "a\tb", 10: "a\nb", 13: "a\nb"}.get(code) or shown.startswith(("a\\x", "a\\u"))


def test_letters_of_every_language_are_printed_as_they_are() -> None:
    text = "modèle ключ 模型 مرحبا שלום \N{FAMILY}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}\u200f\xa0\t|\n"
    assert output.printable(text) == text


def test_colours_are_left_out_and_lines_cannot_overwrite_themselves() -> None:
    assert output.printable("\x1b[1;31mred\x1b[0m\x1b[38:5:1m.\r\n10%\r100%\r\n") == "red.\n10%\n100%\n"


def test_every_way_to_print_is_covered(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Output()
    printer.line(EVIL)
    printer.write(f"{EVIL}\n")
    printer.facts({"reason": EVIL})
    printer.table(("reason",), [(EVIL,)], "")
    printer.table((), [(EVIL,)], "")
    printer.note(EVIL)
    printer.table((), [], EVIL)
    printer.error(CommandError(EVIL, EVIL, details=[EVIL]))
    printed = capsys.readouterr()
    assert obeyed(printed.out + printed.err) == []
    assert printed.out.count(SHOWN) == 5
    assert printed.err.count(SHOWN) == 5


def test_every_way_to_print_on_a_terminal_is_covered() -> None:
    printer = Output()
    printer.out, text = terminal()
    printer.line(EVIL)
    printer.facts({"reason": EVIL})
    printer.table(("reason",), [(EVIL,)], "")
    printer.table((), [(EVIL,)], "")
    assert obeyed(text.getvalue()) == []
    assert text.getvalue().count(SHOWN) == 4


def test_json_has_the_same_content_and_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Output(as_json=True)
    printer.json({EVIL: [EVIL]})
    assert json.loads(first := capsys.readouterr().out) == {EVIL: [EVIL]}
    printer.json_line({EVIL: EVIL})
    assert json.loads(second := capsys.readouterr().out) == {EVIL: EVIL}
    printer.error(CommandError(EVIL, EVIL, details=[EVIL]))
    document = json.loads(third := capsys.readouterr().err)
    assert (document["error"], document["what_to_do"], document["details"]) == (EVIL, EVIL, [EVIL])
    assert obeyed(first + second + third) == []


def test_a_cell_makes_no_row_of_its_own_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("job", "status"), [("a\nb\tregistered", "failed\r")], "")
    assert capsys.readouterr().out == "a b registered\tfailed \n"


def test_a_line_end_between_two_pieces_of_a_log_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Output()
    for piece in ("one\r", "\ntwo\r", "three\r\n", "\nfour\n", "\n"):
        printer.write(piece)
    assert capsys.readouterr().out == "one\ntwo\nthree\n\nfour\n\n"


def test_a_name_of_a_file_is_only_shown_in_its_bar() -> None:
    console, _ = terminal()
    file = LocalFile(path=Path("x"), container="data", name=EVIL, size=10, modified=0)
    with UploadProgress.show(console, [file]) as listener:
        assert isinstance(listener, UploadProgress)
        listener.on_start(file)
        assert listener.progress.tasks[1].description == f"  {SHOWN}"

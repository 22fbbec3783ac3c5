import io
from pathlib import Path

import pytest
from rich.console import Console

from kedja_cli import screen
from kedja_cli.local_file import LocalFile
from kedja_cli.screen import Screen
from kedja_cli.upload_progress import UploadProgress


def terminal() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=True, width=100, color_system=None, soft_wrap=True, markup=False), text


def test_table_has_headings_on_a_terminal() -> None:
    shown = Screen()
    shown.out, text = terminal()
    shown.table(("job", "status"), [("[red]a", "failed"), (None, "running")], "none")
    assert [line.rstrip() for line in text.getvalue().splitlines()] == [
        "JOB     STATUS",
        "[red]a  failed",
        "        running",
    ]


def test_colour_is_left_out_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Screen().out.no_color


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_are_read_by_people(count: int, words: str) -> None:
    assert screen.size(count) == words


def test_metrics_are_told_by_their_plain_names_without_counters() -> None:
    told = {"epoch": 20.0, "elapsed_time": 3.4, "loss": 0.1, "validation/main/loss": 0.2, "accuracy": 0.97123}
    assert screen.numbers(told) == "accuracy 0.9712, loss 0.1"
    assert screen.numbers({"validation/main/loss": 0.2}) == "validation/main/loss 0.2"
    assert screen.numbers(None) == ""


def test_upload_has_a_bar_for_each_file_on_its_way_and_one_for_all() -> None:
    console, text = terminal()
    files = [
        LocalFile(path=Path(name), container="data", name=name, size=size, modified=0)
        for name, size in (("there.csv", 5), ("large.bin", 10))
    ]
    with UploadProgress.drawn(console, files) as watcher:
        assert isinstance(watcher, UploadProgress)
        watcher.begins(files[0])
        watcher.ends(files[0], sent=False)
        watcher.begins(files[1])
        watcher.moves(files[1], 4)
        everything, bar = watcher.progress.tasks
        assert (everything.description, everything.completed, everything.total) == ("1/2 files", 9, 15)
        assert (bar.description, bar.completed, bar.total) == ("  large.bin", 4, 10)
    assert "files" in text.getvalue()


def test_nothing_is_drawn_where_nobody_looks() -> None:
    console = Console(file=io.StringIO())
    with UploadProgress.drawn(console, []):
        pass
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""

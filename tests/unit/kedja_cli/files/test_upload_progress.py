import io
from pathlib import Path

from rich.console import Console

from kedja_cli.files.local_file import LocalFile
from kedja_cli.files.upload_progress import UploadProgress


def test_upload_has_a_bar_for_each_file_being_sent_and_one_for_all() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    files = [
        LocalFile(path=Path(name), container="data", name=name, size=size, modified=0)
        for name, size in (("there.csv", 5), ("large.bin", 10))
    ]
    with UploadProgress.show(console, files) as listener:
        assert isinstance(listener, UploadProgress)
        listener.on_start(files[0])
        listener.on_end(files[0], sent=False)
        listener.on_start(files[1])
        listener.on_progress(files[1], 4)
        total, bar = listener.progress.tasks
        assert (total.description, total.completed, total.total) == ("1/2 files", 9, 15)
        assert (bar.description, bar.completed, bar.total) == ("  large.bin", 4, 10)
    assert "files" in text.getvalue()


def test_nothing_is_drawn_without_a_terminal() -> None:
    console = Console(file=io.StringIO())
    with UploadProgress.show(console, []):
        pass
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""

import re
from pathlib import Path

import pytest

from function_app.domain import naming
from kedja_cli.errors import CommandError
from kedja_cli.files.local_file import SCRIPT, classify, find

ROOT = Path(__file__).parents[4]


def test_page_and_command_take_the_same_files_for_scripts() -> None:
    page = (ROOT / "function_app" / "http" / "web" / "folder.js").read_text()
    (pattern,) = re.findall(r"const SCRIPT = /(.+)/i;", page)
    assert pattern.replace(r"\/", "/") == SCRIPT.pattern
    assert SCRIPT.flags & re.IGNORECASE


@pytest.mark.parametrize("above", ["", "digits/"])
@pytest.mark.parametrize("pattern", naming.IGNORED)
def test_the_page_leaves_out_what_the_service_ignores(pattern: str, above: str) -> None:
    page = (ROOT / "function_app" / "http" / "web" / "folder.js").read_text()
    (found,) = re.findall(r"const IGNORED = /(.+)/;", page)
    leaves_out = re.compile(found.replace(r"\/", "/"))
    name = pattern.replace("*", "a")
    assert leaves_out.search(f"{above}{name}")
    assert leaves_out.search(f"{above}{name}/b.csv")
    assert not leaves_out.search(f"{above}b{name}b.csv")


class TestFind:
    def test_folder_gives_its_content_and_a_file_its_own_name(self, tmp_path: Path) -> None:
        (tmp_path / "in" / "train").mkdir(parents=True)
        (tmp_path / "in" / "train" / "a.png").write_bytes(b"a")
        (tmp_path / "b.png").write_bytes(b"b")
        found = find([tmp_path / "in", tmp_path / "b.png"], "data")
        assert [(file.name, file.size) for file in found.files] == [("train/a.png", 1), ("b.png", 1)]

    @pytest.mark.parametrize("name", ["train.py", "Train.ipynb", "job.yaml", "requirements-gpu.txt", "run.sh"])
    def test_scripts_and_notebooks_go_to_the_scripts(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"a")
        (tmp_path / "notes.txt").write_bytes(b"b")
        found = {file.name: file.container for file in classify([tmp_path]).files}
        assert found == {name: "scripts", "notes.txt": "data"}

    def test_hidden_and_temporary_files_are_counted_and_left_out(self, tmp_path: Path) -> None:
        for name in (".git/config", "a.tmp", "a.csv", "__pycache__/x.pyc"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("")
        found = find([tmp_path], "data")
        assert ([file.name for file in found.files], found.ignored) == (["a.csv"], 3)

    def test_two_files_of_one_name_are_refused(self, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a").write_text("")
        with pytest.raises(CommandError, match=r"would both be data/…/a"):
            find([tmp_path / "one", tmp_path / "two"], "data")

    def test_what_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="There is no file or folder"):
            find([tmp_path / "nothing"], "data")

"""Names of artifacts, by the rules of each system: pure paths, so that each is tried on any."""

from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from kedja_cli.errors import CommandError
from kedja_cli.files.download_path import check_inside, places

POSIX, WINDOWS = PurePosixPath("/home/ann/digits-2"), PureWindowsPath("C:/Users/ann/digits-2")
EVERYWHERE = [
    "../evil",
    "a/../../evil",
    "a/..",
    "/etc/evil",
    "//server/share/evil",
    "..\\evil",
    "a\\b",
    "\\\\server\\share\\evil",
    "",
    "a//b",
    "a/",
    "./a",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x9bb",
]
ON_WINDOWS = [
    "C:/Users/ann/evil",
    "c:evil",
    "D:",
    "C:",
    "model.npz:stream",
    "plots/a:b",
    "NUL",
    "nul.txt",
    "plots/CON",
    "plots/com1.log",
    "LPT\N{SUPERSCRIPT THREE}",
    "AUX.tar.gz",
    "CONIN$",
    "model.",
    "plots./a",
    "plots /a",
    "what?",
    "a*",
    "a|b",
    'a"b',
    "<a>",
]
GOOD = [
    "model.npz",
    "plots/accuracy.png",
    "log",
    "...",
    "..a",
    "modèle ключ 模型.npz",
    "a b/c d",
    "console",
    "com10.txt",
]


@pytest.mark.parametrize("folder", [POSIX, WINDOWS], ids=["posix", "windows"])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_name_that_leads_out_is_refused_on_every_system(folder: PurePath, name: str) -> None:
    with pytest.raises(CommandError, match="nothing was downloaded"):
        places(folder, ["good", name])


@pytest.mark.parametrize("name", ON_WINDOWS)
def test_what_windows_takes_for_something_else_is_refused_there_alone(name: str) -> None:
    with pytest.raises(CommandError, match="Windows reserves"):
        places(WINDOWS, [name])
    assert places(POSIX, [name]) == (POSIX / name,)


@pytest.mark.parametrize("name", GOOD)
def test_other_names_are_files_in_the_folder(name: str) -> None:
    assert places(POSIX, [name]) == (POSIX / name,)
    if name != "...":  # its last dot is lost there
        (path,) = places(WINDOWS, [name])
        assert path.as_posix() == f"C:/Users/ann/digits-2/{name}"


def test_two_names_of_one_file_are_refused() -> None:
    with pytest.raises(CommandError, match=r"'Model\.npz' is the same file on this system"):
        places(WINDOWS, ["Model.npz", "model.npz"])
    assert len(places(POSIX, ["Model.npz", "model.npz"])) == 2
    with pytest.raises(CommandError, match="the same file"):
        places(POSIX, ["a", "a"])


def test_the_present_folder_is_a_folder() -> None:
    assert places(Path(), ["digits-2"]) == (Path("digits-2"),)
    with pytest.raises(CommandError):
        places(Path(), ["digits-../evil/.."])


def test_a_link_is_followed_before_anything_is_written(tmp_path: Path) -> None:
    folder, outside = tmp_path / "models", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "plots").symlink_to(outside)
    (folder / "log").symlink_to(outside / "log")
    (folder / "inner").symlink_to(folder)
    for path in ("plots/a.png", "log"):
        with pytest.raises(CommandError, match="outside"):
            check_inside(folder / path, folder)
    check_inside(folder / "inner" / "a", folder)
    check_inside(folder / "new" / "a", folder)


def test_a_folder_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "real")
    check_inside(tmp_path / "models" / "a", tmp_path / "models")

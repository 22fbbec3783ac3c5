"""Names of artifacts, by the rules of each system: pure paths, so that each is tried on any."""

from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

import pytest

from kedja_cli.errors import CommandError
from kedja_cli.files.download_path import check_inside, target_paths

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
        target_paths(folder, ["good", name])


@pytest.mark.parametrize("name", ON_WINDOWS)
def test_names_that_windows_reserves_are_refused_only_there(name: str) -> None:
    with pytest.raises(CommandError, match="Windows reserves"):
        target_paths(WINDOWS, [name])
    assert target_paths(POSIX, [name]) == (POSIX / name,)


@pytest.mark.parametrize("name", GOOD)
def test_other_names_are_files_in_the_folder(name: str) -> None:
    assert target_paths(POSIX, [name]) == (POSIX / name,)
    if name != "...":  # its last dot is lost there
        (path,) = target_paths(WINDOWS, [name])
        assert path.as_posix() == f"C:/Users/ann/digits-2/{name}"


def test_two_names_of_one_file_are_refused() -> None:
    with pytest.raises(CommandError, match=r"'Model\.npz' is the same file on this system"):
        target_paths(WINDOWS, ["Model.npz", "model.npz"])
    assert len(target_paths(POSIX, ["Model.npz", "model.npz"])) == 2
    with pytest.raises(CommandError, match="the same file"):
        target_paths(POSIX, ["a", "a"])


def test_the_present_folder_is_a_folder() -> None:
    assert target_paths(Path(), ["digits-2"]) == (Path("digits-2"),)
    with pytest.raises(CommandError):
        target_paths(Path(), ["digits-../evil/.."])


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

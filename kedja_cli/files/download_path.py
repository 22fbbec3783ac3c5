"""Paths of downloaded files: always inside the requested folder, whatever their names, on every operating system.

A job chooses the names of its artifacts, so they are checked by the rules of the system that the file is written on.
"""

import ntpath
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PureWindowsPath

from kedja_cli.errors import CommandError


def target_paths[P: PurePath](folder: P, names: Iterable[str]) -> Sequence[P]:
    r"""Return a path in `folder` for each of a listing's names, which have `/` between their parts.

    The rules are those of the system whose path type `folder` has. On Windows, names must have no drive letter, colon
    or other reserved character, no device name such as `NUL`, and no part that ends with a dot or a space.

    Raises:
        CommandError: If a name leads out of the folder or cannot be a file's name, or two names mean the same file.
    """
    found: dict[P, str] = {}
    for name in names:
        if reason := _path_error(name, windows=isinstance(folder, PureWindowsPath)):
            raise _invalid_name(name, folder, reason)
        place = folder.joinpath(*name.split("/"))
        if not place.is_relative_to(folder):
            raise _invalid_name(name, folder, "it leads out of the folder")
        if place in found:
            raise _invalid_name(name, folder, f"{found[place]!r} is the same file on this system")
        found[place] = name
    return tuple(found)


def check_inside(path: Path, folder: Path) -> None:
    """Check that a path, with links resolved, is inside a folder.

    Raises:
        CommandError: If it leads out of `folder`.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CommandError(
            f"{path} leads to {path.resolve()}, which is outside of {folder}: it was not written.",
            "Remove the link, or give another folder with --to.",
        )


def _path_error(name: str, *, windows: bool) -> str | None:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        return "it leads out of the folder, or is not the path of a file"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "it contains a control character"
    # isreserved ignores everything before the first colon or slash, which may be a drive.
    if windows and (":" in name or ntpath.isreserved(name)):
        return "Windows reserves such names, or reads them as a drive or a device"
    return None


def _invalid_name(name: str, folder: PurePath, reason: str) -> CommandError:
    return CommandError(
        f"{name!r} cannot be written in {folder}: {reason}; nothing was downloaded.",
        "A job gave its artifact this name. Rename it there, or download the version on another system.",
    )

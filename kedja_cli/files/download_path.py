"""Where a downloaded file goes: inside the folder that was asked for, whatever its name, on every system.

A job chooses the names of its artifacts, so they are judged by the rules of the system that the file is written on.
"""

import ntpath
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PureWindowsPath

from kedja_cli.errors import CommandError


def places[P: PurePath](folder: P, names: Iterable[str]) -> Sequence[P]:
    r"""Return a path in `folder` for each of a listing's names, which have `/` between their parts.

    The rules are those of the system that `folder` is a path of. On Windows, names must have no drive letter, colon or
    other reserved character, no device name such as `NUL`, and no part that ends with a dot or a space.

    Raises:
        CommandError: if a name leads out of the folder or cannot be a file's, or two names mean the same file.
    """
    found: dict[P, str] = {}
    for name in names:
        if reason := _problem(name, windows=isinstance(folder, PureWindowsPath)):
            raise _refused(name, folder, reason)
        place = folder.joinpath(*name.split("/"))
        if not place.is_relative_to(folder):
            raise _refused(name, folder, "it leads out of the folder")
        if place in found:
            raise _refused(name, folder, f"{found[place]!r} is the same file on this system")
        found[place] = name
    return tuple(found)


def check_inside(path: Path, folder: Path) -> None:
    """Check where a path really leads, links followed.

    Raises:
        CommandError: if that is outside of `folder`.
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CommandError(
            f"{path} leads to {path.resolve()}, which is outside of {folder}: it was not written.",
            "Remove the link, or give another folder with --to.",
        )


def _problem(name: str, *, windows: bool) -> str | None:
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in name:
        return "it leads out of the folder, or is no path of a file"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "it holds a control character"
    # isreserved leaves out what stands before the first colon or slash, which may be a drive.
    if windows and (":" in name or ntpath.isreserved(name)):
        return "Windows reserves such names, or takes them for a drive or a device"
    return None


def _refused(name: str, folder: PurePath, reason: str) -> CommandError:
    return CommandError(
        f"{name!r} cannot be written in {folder}: {reason}; nothing was downloaded.",
        "A job gave its artifact this name. Rename it there, or download the version on another system.",
    )

"""Names of what is dropped: which ones a job can have on its node, and the reason for each that it cannot.

Letters of every language, spaces and signs such as # % & + ? ' and ; are all fine. What is refused would lead
elsewhere, be something else on the node than in storage, or make a receipt show another name than there is
(https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
"""

import re
import unicodedata
from collections.abc import Iterable

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.receipt import DroppedFile

LONGEST_PART = 255
"""Bytes of a file's or folder's name, on the file systems of nodes."""
LONGEST_BLOB = 1024
"""Characters of a blob's name."""
LONGEST_FOLDER = 200
"""Characters of an experiment's folder: Azure ML's tags, which hold it, have 256 at most."""

_PLACEHOLDER = "${{"
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of the text that follows, so that `exe.py` can show as `yp.exe`."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_ESCAPED = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)


def path_problem(path: str) -> str | None:
    """Return why no job can have a file of this name, relative to its folder, or None where one can."""
    parts = path.split("/")
    if any(character in _TURNING or unicodedata.category(character) in _UNPRINTABLE for character in path):
        return "holds a line break, a control character or a mark that turns the direction of text"
    if "\\" in path:
        return "holds a backslash, which some systems take for a slash"
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, or one that is . or .."
    if any(part.endswith(".") for part in parts):
        return "has a part that ends with a dot, which storage does not keep for certain"
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"has a part of more than {LONGEST_PART} bytes, which is more than a node's file system takes"
    return None


def folder_problem(folder: str) -> str | None:
    """Return why an experiment cannot be called so. Its name stands in the job and in the address of its data."""
    if len(folder) > LONGEST_FOLDER:
        return f"has more than {LONGEST_FOLDER} characters"
    if _PLACEHOLDER in folder:
        return f"holds {_PLACEHOLDER}, which Azure ML would fill in"
    if found := _ESCAPED.search(folder):
        return f"holds {found[0]}, which is read as another character in an address"
    return path_problem(folder)


def problem(drop: Drop) -> str | None:
    """Return what is wrong with the first name of a drop that no job can have, or None."""
    if reason := folder_problem(drop.folder):
        return f"The folder {shown(drop.folder)} {reason}."
    for container, files in ((naming.SCRIPTS, drop.sources), (naming.DATA, drop.data)):
        taken = {file.name for file in files}
        for file in files:
            if reason := path_problem(file.name) or _script_problem(drop, container, file):
                return f"{container}/{drop.folder}/{shown(file.name)} {reason}."
            if (folder := next((up for up in folders_of(file.name) if up in taken), None)) is not None:
                return f"{container}/{drop.folder}/{shown(folder)} is a file, and a folder with {shown(file.name)} too."
    return None


def shown(name: str) -> str:
    """Return a name as it can be shown in one line, cut to 100 characters."""
    text = name if len(name) <= 100 else f"{name[:99]}…"  # noqa: PLR2004 (as the docstring says)
    escaped = "".join(
        character.encode("unicode_escape").decode()
        if character in _TURNING or unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )
    return f'"{escaped}"'


def _script_problem(drop: Drop, container: str, file: DroppedFile) -> str | None:
    if container != naming.SCRIPTS:
        return None
    if _PLACEHOLDER in file.name:
        return f"holds {_PLACEHOLDER}, which Azure ML would fill in"
    if file.name.startswith("-"):
        return "begins with a dash, so that programs take it for an option"
    # The experiment's name and the drop's id stand before a script's in its snapshot.
    room = LONGEST_BLOB - len(f"{naming.snapshot_prefix(drop.experiment, '0' * 64)}scripts/")
    return f"has more than {room} characters" if len(file.name) > room else None


def folders_of(name: str) -> Iterable[str]:
    """Return the folders that a file lies in, the topmost first."""
    parts = name.split("/")[:-1]
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))

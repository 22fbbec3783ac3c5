"""Rules for the paths of dropped files: which names a job can use on its node, and why others are refused.

Letters of every language, spaces and signs such as # % & + ? ' and ; are all allowed. Refused names would point outside
of their folder, differ between storage and the node, or be displayed as a different name
(https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata).
"""

import re
import unicodedata
from collections.abc import Iterable

from function_app.domain import naming
from function_app.domain.contents import DroppedFile
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef

LONGEST_PART = 255
"""Max bytes of a file's or folder's name on the file systems of nodes."""
LONGEST_BLOB = 1024
"""Max characters of a blob's name."""
LONGEST_FOLDER = 200
"""Max characters of an experiment's folder: it becomes an Azure ML tag, which has at most 256."""

_PLACEHOLDER = "${{"
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the following text, so that `exe.py` can be displayed as `yp.exe`."""
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_ESCAPED = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)


def path_error(path: str) -> str | None:
    """Return why a job cannot use a file of this path, relative to its folder, or None if it can."""
    parts = path.split("/")
    if any(character in _BIDI_CONTROLS or unicodedata.category(character) in _UNPRINTABLE for character in path):
        return "contains a line break, a control character or a character that changes the text direction"
    if "\\" in path:
        return "contains a backslash, which some systems treat as a slash"
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, or a part that is . or .."
    if any(part.endswith(".") for part in parts):
        return "has a part that ends with a dot, which storage may not preserve"
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"has a part of more than {LONGEST_PART} bytes, which a node's file system does not support"
    return None


def folder_problem(folder: str) -> str | None:
    """Return why an experiment cannot have this name, which is part of its job and of its data's URL, or None."""
    if len(folder) > LONGEST_FOLDER:
        return f"has more than {LONGEST_FOLDER} characters"
    if _PLACEHOLDER in folder:
        return f"contains {_PLACEHOLDER}, which Azure ML would substitute"
    if found := _ESCAPED.search(folder):
        return f"contains {found[0]}, which a URL decodes to another character"
    return path_error(folder)


def drop_error(drop: Drop) -> str | None:
    """Return what is wrong with the first invalid name of a drop, or None."""
    if reason := folder_problem(drop.folder):
        return f"The folder {quote_name(drop.folder)} {reason}."
    for container, files in ((naming.SCRIPTS, drop.job_scripts), (naming.DATA, drop.data)):
        taken = {file.name for file in files}
        for file in files:
            if reason := path_error(file.name) or _script_problem(drop, container, file):
                return f"{container}/{drop.folder}/{quote_name(file.name)} {reason}."
            if (folder := next((up for up in parent_folders(file.name) if up in taken), None)) is not None:
                place = f"{container}/{drop.folder}/{quote_name(folder)}"
                return f"{place} is both a file and a folder, which contains {quote_name(file.name)}."
    return None


def quote_name(name: str) -> str:
    """Return a name quoted for display on one line, cut to 100 characters."""
    text = name if len(name) <= 100 else f"{name[:99]}…"  # noqa: PLR2004 (as the docstring says)
    escaped = "".join(
        character.encode("unicode_escape").decode()
        if character in _BIDI_CONTROLS or unicodedata.category(character) in _UNPRINTABLE
        else character
        for character in text
    )
    return f'"{escaped}"'


def _script_problem(drop: Drop, container: str, file: DroppedFile) -> str | None:
    if container != naming.SCRIPTS:
        return None
    if _PLACEHOLDER in file.name:
        return f"contains {_PLACEHOLDER}, which Azure ML would substitute"
    if file.name.startswith("-"):
        return "begins with a dash, so programs would read it as an option"
    # In a snapshot, the experiment's name and the drop's id precede a script's name.
    room = LONGEST_BLOB - len(f"{naming.snapshot_prefix(DropRef(drop.experiment, '0' * 64))}scripts/")
    return f"has more than {room} characters" if len(file.name) > room else None


def parent_folders(name: str) -> Iterable[str]:
    """Return the parent folders of a file, the topmost first."""
    parts = name.split("/")[:-1]
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))

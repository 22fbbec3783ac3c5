"""Reads text files as pip does: by their byte order mark, else as UTF-8."""

import codecs
from pathlib import Path

from training_job.errors import PackagesError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is a prefix of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks: PowerShell's `>` writes UTF-16."""


def read(path: Path) -> str:
    """Return the text of a file.

    Raises:
        PackagesError: The file cannot be read, or is not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackagesError(f"{path.name} cannot be read: {error.strerror or error}") from error
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise PackagesError(
            f"{path.name} is no {encoding.upper()} text at byte {error.start + 1} "
            f"(0x{content[error.start]:02x}): save it as UTF-8"
        ) from error

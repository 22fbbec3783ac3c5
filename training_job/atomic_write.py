"""Writes files atomically, and lists the exceptions that a damaged archive of arrays raises."""

import contextlib
import json
import lzma
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

DAMAGED_ARRAYS = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    # NumPy parses an array's header as a Python literal, and passes on what that and the shape raise.
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    MemoryError,
)
"""The exceptions that NumPy raises for a file that is damaged, or no archive."""


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` when the block succeeds, and is removed when it fails."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON file atomically.

    Raises:
        ValueError: The document contains a number that JSON cannot represent (nan, inf).
    """
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    with open_atomic(path) as stream:
        stream.write(f"{text}\n".encode())

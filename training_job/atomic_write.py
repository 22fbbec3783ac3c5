"""Files that are there whole or not at all, and what a damaged one raises."""

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
    # NumPy reads an array's header as Python's literals, and lets through whatever that and the array's shape raise.
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
"""What NumPy raises of an archive that is none, or is damaged."""


@contextlib.contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the path's place when the block ends well, and is removed when it does not."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a JSON file; ValueError for a number that JSON does not have (nan, inf)."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    with open_atomic(path) as stream:
        stream.write(f"{text}\n".encode())

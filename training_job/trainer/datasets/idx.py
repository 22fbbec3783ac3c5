"""IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist/ (kept in https://github.com/cvdfoundation/mnist)."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from training_job.errors import DatasetError
from training_job.trainer.datasets.arrays import Pair

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read(examples: Path, labels: Path) -> Pair:
    """Return the arrays of a pair of files, gzipped or not.

    Raises:
        DatasetError: One of them is no IDX file or truncated.
    """
    x, y = (_read(path) for path in (examples, labels))
    return Pair(x=x, y=y, names=("examples", "labels"), source=f"{examples.name} and {labels.name}")


def _read(path: Path) -> Any:  # noqa: ANN401 - an array
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be unpacked: it is no gzip file, or is truncated") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or content[3] == 0:  # noqa: PLR2004 - the magic
        raise DatasetError(
            f"{path.name} is no IDX file: it does not begin with the IDX magic number; upload the original"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DatasetError(f"{path.name} is truncated: it ends within its header; upload it again")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    dtype = np.dtype(_TYPES[content[2]])
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DatasetError(
            f"{path.name} has {len(content)} bytes; its header says {shape}, which is {expected} bytes; upload it again"
        )
    try:
        values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # too many dimensions, or one of 0 and huge ones
        raise DatasetError(f"{path.name} cannot be read: its header says {shape}, which is no array's shape") from error
    return values.astype(dtype.newbyteorder("="))

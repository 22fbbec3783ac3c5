"""One folder of pictures for each class, named like the class; all pictures of one size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from training_job.errors import DatasetError
from training_job.trainer.datasets.table import Table

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})

_GREY = ("1", "L", "LA")
_COLOURED = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""With the grey ones, the modes of 8 bits a value. Pillow would clip 16 bits to 255."""


def read(folder: Path, classes: Sequence[Path]) -> Table:
    """Return the table of the pictures in the class folders.

    `x` is uint8 (N, height, width) if the first picture is grey, else (N, 3, height, width).

    Raises:
        DatasetError: A picture cannot be read, has more than 8 bits a value, or another size than the first one; or a
            folder contains no picture.
    """
    pictures: list[Any] = []
    labels: list[int] = []
    mode = ""
    for label, class_folder in enumerate(classes):
        files = sorted(path for path in class_folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            raise DatasetError(f"folder {class_folder.name} holds no picture: each class needs some")
        for path in files:
            name = path.relative_to(folder).as_posix()
            mode, picture = _picture(path, name, mode)
            if pictures and picture.shape != pictures[0].shape:
                raise DatasetError(
                    f"{name} is {_size(picture)} and the first picture is {_size(pictures[0])}: all must have one size"
                )
            pictures.append(picture)
            labels.append(label)
    x = np.stack(pictures)
    return Table(
        x=x if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 3, 1, 2)),  # noqa: PLR2004 - grey: no channels
        y=np.array(labels, np.int32),
        source=folder.name or "the data",
        classes=tuple(path.name for path in classes),
    )


def _picture(path: Path, name: str, mode: str) -> tuple[str, Any]:
    try:
        with Image.open(path) as image:
            if image.mode not in (*_GREY, *_COLOURED):
                raise DatasetError(f"{name} is a picture of Pillow's mode {image.mode!r}: 8 bits a value are expected")
            mode = mode or ("L" if image.mode in _GREY else "RGB")
            return mode, np.asarray(image.convert(mode))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{name} cannot be read as a picture: {error}") from error


def _size(picture: Any) -> str:  # noqa: ANN401 - an array
    return f"{picture.shape[1]}x{picture.shape[0]}"

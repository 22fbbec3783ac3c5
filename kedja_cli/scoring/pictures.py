"""Decodes a picture as the built-in trainer does (`training_job/trainer/datasets/images.py`)."""

from pathlib import Path
from typing import Any

import numpy as np

from kedja_cli.errors import CommandError
from kedja_cli.scoring.package import Network

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow would clip the values of other modes to 255."""


def read(path: Path, network: Network) -> Any:  # noqa: ANN401 - an array
    """Return a picture as one example: uint8 (height, width) or (3, height, width).

    Raises:
        CommandError: The network was not trained on pictures, the file is none, or it has another size.
    """
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only for pictures

    wanted = network.picture
    if wanted is None:
        raise CommandError(
            f"{path.name} is a picture, and how the pictures of training became {network.inputs[0].text} is not known.",
            "Give the arrays that the script made of them as a .npy file.",
        )
    try:
        with Image.open(path) as image:
            if image.mode not in _EIGHT_BITS:
                raise CommandError(f"{path.name} has Pillow's mode {image.mode!r}: 8 bits a value are expected.")
            if image.size != wanted.size[::-1]:
                raise CommandError(
                    f"{path.name} is {image.size[0]} x {image.size[1]}, and the pictures of training were "
                    f"{wanted.size[1]} x {wanted.size[0]}.",
                    "Resize it as those were.",
                )
            array = np.asarray(image.convert(wanted.mode))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CommandError(f"{path.name} cannot be read as a picture: {error}.") from error
    if array.ndim == 2:  # noqa: PLR2004 - grey
        return array[np.newaxis] if wanted.has_channels else array
    return np.ascontiguousarray(array.transpose(2, 0, 1))

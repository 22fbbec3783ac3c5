"""Decodes a picture as the built-in trainer does (`training_job/trainer/datasets/pictures.py`), but for 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np

from kedja_cli.errors import CommandError
from kedja_cli.scoring.package import Network

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ico"),
    *(".pgm", ".ppm", ".pbm", ".pnm"),
)
_EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
"""Pillow would clip the values of other modes to 255."""


def read(path: Path, network: Network) -> Any:  # noqa: ANN401 - an array
    """Return a picture as one example: uint8 (height, width) or (3, height, width).

    Raises:
        CommandError: The network was not trained on pictures, the file is none, or it has another size.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415 - only for pictures

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
            size = wanted.size[::-1]
            picture = _on_white(ImageOps.exif_transpose(image)).convert(wanted.mode)
            if picture.size != size and not wanted.resizes:
                raise CommandError(
                    f"{path.name} is {picture.size[0]} x {picture.size[1]}, and the pictures of training were "
                    f"{size[0]} x {size[1]}.",
                    "Resize it as those were.",
                )
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            array = np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CommandError(f"{path.name} cannot be read as a picture: {error}.") from error
    if array.ndim == 2:  # noqa: PLR2004 - grey
        return array[np.newaxis] if wanted.has_channels else array
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _on_white(image: Any) -> Any:  # noqa: ANN401 - Pillow's types are not read
    """Return a picture without transparency."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return image
    from PIL import Image  # noqa: PLC0415 - as above

    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert(
        "L" if image.mode in ("L", "LA", "La") else "RGB"
    )

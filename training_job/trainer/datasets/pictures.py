"""Pictures of any size and mode, decoded to one size and mode."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from training_job.errors import DatasetError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm", ".jfif", ".ico"}
)
_LONGEST = 128  # pixels; larger pictures are made smaller, for the memory's and the network's sake
_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_16_BITS = 65535


@dataclass(frozen=True, kw_only=True)
class Size:
    """What pictures are made: `mode` is `L` or `RGB`, `shape` is (height, width)."""

    mode: str
    shape: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The size that suits some pictures, and sentences about how they differ from it."""

    size: Size
    notes: tuple[str, ...]


def choose_size(paths: Sequence[Path], root: Path) -> Found:
    """Return the size that suits pictures: grey if all are, and their own size if they have one, else the median.

    Raises:
        DatasetError: A picture cannot be read.
    """
    shapes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    for path in paths:
        with _opened(path, root) as image:
            turned = image.getexif().get(0x0112, 1) > 4  # noqa: PLR2004 - EXIF's orientations that are on their side
            shapes[image.size if turned else (image.size[1], image.size[0])] += 1
            modes[image.mode] += 1
    mode = "L" if all(name in _GREY for name in modes) else "RGB"
    height, width = (int(np.median([shape[side] for shape in shapes.elements()])) for side in (0, 1))
    shrink = min(1.0, _LONGEST / max(height, width))
    shape = max(1, round(height * shrink)), max(1, round(width * shrink))
    notes = []
    colours = "grey" if mode == "L" else "coloured"
    if len(shapes) > 1:
        low, high = min(shapes), max(shapes)
        notes.append(
            f"The pictures have {len(shapes)} sizes, from {low[1]} x {low[0]} to {high[1]} x {high[0]} pixels: all are "
            f"resized to {shape[1]} x {shape[0]}."
        )
    elif shrink < 1:
        notes.append(f"The pictures of {width} x {height} pixels are resized to {shape[1]} x {shape[0]}.")
    if len(modes) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in modes.most_common(5))
        notes.append(f"The pictures have {len(modes)} of Pillow's modes ({listed}): all are made {colours}.")
    return Found(size=Size(mode=mode, shape=shape), notes=tuple(notes))


def decode(paths: Sequence[Path], size: Size, root: Path) -> Any:  # noqa: ANN401 - an array
    """Return the pictures as uint8: (N, height, width) if they are grey, else (N, 3, height, width).

    Raises:
        DatasetError: A picture cannot be read.
    """
    height, width = size.shape
    x: Any = np.empty((len(paths), height, width) if size.mode == "L" else (len(paths), height, width, 3), np.uint8)
    for index, path in enumerate(paths):
        with _opened(path, root) as image:
            picture = _of_8_bits(ImageOps.exif_transpose(image), path.relative_to(root).as_posix())
            picture = _on_white(picture).convert(size.mode)
            if picture.size != (width, height):
                picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
            x[index] = np.asarray(picture)
    return x if size.mode == "L" else np.ascontiguousarray(x.transpose(0, 3, 1, 2))


@contextmanager
def _opened(path: Path, root: Path) -> Iterator[Any]:
    """Open a picture; errors in the block, which may decode it, name the picture."""
    try:
        with Image.open(path) as image:
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        name = path.relative_to(root).as_posix()
        text = str(error).replace(str(path), name)
        raise DatasetError(f"{name} cannot be read as a picture: {text}; remove it, or save it again") from error


def _of_8_bits(image: Any, name: str) -> Any:  # noqa: ANN401 - as above
    """Return a picture of 8 bits for each value: 16 bits are divided by 257, and floats may go to 1, 255 or 65535."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values: Any = np.asarray(image).astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= _16_BITS):
        raise DatasetError(
            f"{name} has values from {low:g} to {high:g}: 0 to 1, 255 or {_16_BITS} are expected; rescale it"
        )
    white = _16_BITS if image.mode.startswith("I") or high > 255 else 255 if high > 1 else 1  # noqa: PLR2004 - 8 bits
    return Image.fromarray(np.round(values * (255 / white)).astype(np.uint8))


def _on_white(image: Any) -> Any:  # noqa: ANN401 - as above
    """Return a picture without transparency."""
    if image.mode not in _WITH_ALPHA and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert(
        "L" if image.mode in _GREY else "RGB"
    )

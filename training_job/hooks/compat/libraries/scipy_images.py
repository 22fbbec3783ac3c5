# ruff: noqa: ANN401, FBT001, FBT002 - SciPy's old signatures
"""`scipy.misc`'s functions for images, which SciPy 1.2 and 1.3 removed, made with Pillow.

They do what `scipy/misc/pilutil.py` did: https://github.com/scipy/scipy/blob/v1.1.0/scipy/misc/pilutil.py
"""

from typing import Any

import numpy as np
from PIL import Image

__all__ = ["bytescale", "fromimage", "imread", "imresize", "imrotate", "imsave", "imshow", "toimage"]

_METHODS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "cubic": Image.Resampling.BICUBIC,
}
_CHANNELS = (3, 4)


def bytescale(data: Any, cmin: Any = None, cmax: Any = None, high: int = 255, low: int = 0) -> Any:
    """Return the values as uint8, scaled so that `cmin` to `cmax` (by default all of them) becomes `low` to `high`.

    Raises:
        ValueError: `cmax` is less than `cmin`, or `high` and `low` are no bytes in that order.
    """
    data = np.asarray(data)
    if data.dtype == np.uint8:
        return data
    if not 0 <= low <= high <= 255:  # noqa: PLR2004 - bytes
        raise ValueError("`high` and `low` should be between 0 and 255, and `high` not less than `low`.")
    lowest = data.min() if cmin is None else cmin
    highest = data.max() if cmax is None else cmax
    if highest < lowest:
        raise ValueError("`cmax` should be larger than `cmin`.")
    scale = float(high - low) / (float(highest) - float(lowest) or 1)
    scaled = (data - float(lowest)) * scale + low
    return (scaled.clip(low, high) + 0.5).astype(np.uint8)


def fromimage(im: Image.Image, flatten: bool = False, mode: str | None = None) -> Any:
    """Return an image's values: (H, W) or (H, W, C); with `flatten` float32 grey values."""
    if mode is not None:
        im = im if im.mode == mode else im.convert(mode)
    elif im.mode == "P":
        # A palette with transparency has an alpha channel.
        im = im.convert("RGBA" if "transparency" in im.info else "RGB")
    if flatten:
        im = im.convert("F")
    elif im.mode == "1":
        im = im.convert("L")
    return np.array(im)


def imread(name: Any, flatten: bool = False, mode: str | None = None) -> Any:
    """Return the values of an image file: (H, W) or (H, W, C)."""
    with Image.open(name) as image:
        return fromimage(image, flatten=flatten, mode=mode)


def toimage(  # noqa: PLR0913, PLR0917 - SciPy's signature
    arr: Any,
    high: int = 255,
    low: int = 0,
    cmin: Any = None,
    cmax: Any = None,
    pal: Any = None,
    mode: str | None = None,
    channel_axis: int | None = None,
) -> Image.Image:
    """Return an image of values (H, W), or with 3 or 4 channels along any axis.

    Raises:
        ValueError: The array has another shape, or complex values.
    """
    data = np.asarray(arr)
    if np.iscomplexobj(data):
        raise ValueError("Cannot convert a complex-valued array.")
    if data.ndim == 2:  # noqa: PLR2004 - height and width
        return _of_plane(data, high, low, cmin, cmax, pal, mode)
    if data.ndim != 3 or not any(size in data.shape for size in _CHANNELS):  # noqa: PLR2004 - and channels
        raise ValueError("'arr' does not have a suitable array shape for any mode.")
    axis = channel_axis
    if axis is None:
        axis = next(data.shape.index(size) for size in _CHANNELS if size in data.shape)
    values = np.ascontiguousarray(np.moveaxis(bytescale(data, cmin, cmax, high, low), axis, -1))
    chosen = mode or {3: "RGB", 4: "RGBA"}[values.shape[-1]]
    return Image.frombytes(chosen, (values.shape[1], values.shape[0]), values.tobytes())


def _of_plane(data: Any, high: int, low: int, cmin: Any, cmax: Any, pal: Any, mode: str | None) -> Image.Image:
    size = (data.shape[1], data.shape[0])
    if mode == "F":
        return Image.frombytes("F", size, data.astype(np.float32).tobytes())
    if mode == "I":
        return Image.frombytes("I", size, data.astype(np.int32).tobytes())
    if mode == "1":
        return Image.frombytes(
            "1", size, np.packbits(bytescale(data, cmin, cmax, high, low) > high / 2, axis=1).tobytes()
        )
    image = Image.frombytes("L", size, bytescale(data, cmin, cmax, high, low).tobytes())
    if pal is not None:
        image.putpalette(np.asarray(pal, dtype=np.uint8).tobytes())
    elif mode == "P":
        image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    return image


def imsave(name: Any, arr: Any, format: str | None = None) -> None:  # noqa: A002 - SciPy's name
    """Save values as an image file; the name's ending, or `format`, says in which format."""
    toimage(arr, channel_axis=2).save(name, format)


def imshow(arr: Any) -> None:
    """Show an image with an external program, if this machine has one."""
    toimage(arr).show()


def imrotate(arr: Any, angle: float, interp: str = "bilinear") -> Any:
    """Return the image turned counterclockwise by `angle` degrees, in its old size, as uint8."""
    return fromimage(toimage(arr).rotate(angle, resample=_METHODS[interp]))


def imresize(arr: Any, size: Any, interp: str = "bilinear", mode: str | None = None) -> Any:
    """Return the image, scaled to bytes, in another size: a percentage, a fraction (float), or (height, width)."""
    image = toimage(arr, mode=mode)
    if np.issubdtype(np.asarray(size).dtype, np.signedinteger) and np.ndim(size) == 0:
        size = size / 100.0
    if np.ndim(size) == 0:
        width, height = (np.array(image.size) * float(size)).astype(int).tolist()
    else:
        height, width = (int(value) for value in size)
    return fromimage(image.resize((width, height), resample=_METHODS[interp]))

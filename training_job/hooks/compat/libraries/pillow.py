# ruff: noqa: ANN401 - Pillow's old signatures
"""The names that Pillow has removed, for old code.

Sources: https://pillow.readthedocs.io/en/stable/deprecations.html#removed-features; the sizes of text are calculated as
Pillow 9.5 did: https://github.com/python-pillow/Pillow/blob/9.5.0/src/PIL/ImageFont.py
"""

from importlib import import_module
from types import ModuleType
from typing import Any

from training_job.hooks.compat import lost_names


def install(module: ModuleType) -> None:
    """Serve the versions that `PIL` had."""
    lost_names.serve(module, {"PILLOW_VERSION": lambda: module.__version__, "VERSION": lambda: "1.1.7"})


def install_image(module: ModuleType) -> None:
    """Serve the names of filters, and `tostring`, `fromstring` and `offset`."""
    makers = {
        "ANTIALIAS": lambda: module.Resampling.LANCZOS,
        "CUBIC": lambda: module.Resampling.BICUBIC,
        "LINEAR": lambda: module.Resampling.BILINEAR,
        "isImageType": lambda: lambda found: isinstance(found, module.Image),
        "fromstring": lambda: module.frombytes,
        "PILLOW_VERSION": lambda: module.__version__,
        "VERSION": lambda: "1.1.7",
    }
    lost_names.serve(module, makers)
    members = {
        "tostring": lambda self, *args: self.tobytes(*args),
        "fromstring": lambda self, *args: self.frombytes(*args),
        "offset": lambda self, *args: import_module("PIL.ImageChops").offset(self, *args),
    }
    lost_names.add_members(module.Image, members)


def _getsize(font: Any, text: Any, *args: Any, **kwargs: Any) -> tuple[int, int]:
    """Return the width of the text, and its height below the top of the line."""
    left, _, right, bottom = font.getbbox(text, *args, **kwargs)
    return right - left, bottom


def _getsize_multiline(font: Any, text: str, direction: Any = None, spacing: int = 4, **kwargs: Any) -> tuple[int, int]:
    options = {} if direction is None else {"direction": direction}
    lines = text.split("\n")
    width = max(_getsize(font, line, **options, **kwargs)[0] for line in lines)
    return width, len(lines) * (_getsize(font, "A", **kwargs)[1] + spacing) - spacing


def _transposed_getsize(font: Any, text: Any, *args: Any, **kwargs: Any) -> tuple[int, int]:
    image = import_module("PIL.Image")
    width, height = _getsize(font.font, text, *args, **kwargs)
    is_turned = font.orientation in (image.Transpose.ROTATE_90, image.Transpose.ROTATE_270)
    return (height, width) if is_turned else (width, height)


def install_font(module: ModuleType) -> None:
    """Serve `getsize`, `getsize_multiline` and `getoffset` of fonts."""
    offset = lambda self, text: self.getbbox(text)[:2]  # noqa: E731 - short
    of_font = {"getsize": _getsize, "getsize_multiline": _getsize_multiline, "getoffset": offset}
    lost_names.add_members(module.FreeTypeFont, of_font)
    lost_names.add_members(module.ImageFont, {"getsize": _getsize})
    lost_names.add_members(module.TransposedFont, {"getsize": _transposed_getsize})


def _textsize(draw: Any, text: Any, font: Any = None, spacing: int = 4, *args: Any, **kwargs: Any) -> tuple[int, int]:
    line_end = b"\n" if isinstance(text, bytes) else "\n"
    if line_end in text:
        return _multiline_textsize(draw, text, font, spacing, *args, **kwargs)
    return _getsize(font or draw.getfont(), text, *args, **kwargs)


def _multiline_textsize(
    draw: Any, text: Any, font: Any = None, spacing: int = 4, *args: Any, **kwargs: Any
) -> tuple[int, int]:
    lines = text.split(b"\n" if isinstance(text, bytes) else "\n")
    width = max(_textsize(draw, line, font, spacing, *args, **kwargs)[0] for line in lines)
    return width, len(lines) * (_textsize(draw, "A", font)[1] + spacing) - spacing


def install_draw(module: ModuleType) -> None:
    """Serve `textsize` and `multiline_textsize` of `ImageDraw`."""
    lost_names.add_members(module.ImageDraw, {"textsize": _textsize, "multiline_textsize": _multiline_textsize})

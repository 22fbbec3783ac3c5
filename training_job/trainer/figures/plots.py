"""Pictures of a training, drawn with Pillow: curves, and a confusion matrix or residuals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from training_job.atomic_write import open_atomic
from training_job.trainer.fitted import Curve

_INK, _GREY, _PAPER = (30, 30, 30), (200, 200, 200), (255, 255, 255)
_BLUE, _ORANGE = (31, 119, 180), (255, 127, 14)
_MARGIN = 60
_MAX_LABELLED = 40  # classes; with more, cells are too small for text


def confusion_matrix(counts: Any, classes: Sequence[str], path: Path) -> None:  # noqa: ANN401 - an array
    """Draw a confusion matrix, int (classes, classes): true class down, predicted class across."""
    size = len(classes)
    cell = max(4, min(48, 1200 // size))
    left = _MARGIN + 90
    picture = Image.new("RGB", (left + size * cell + 20, _MARGIN + size * cell + 20), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((left, 8), "Confusion matrix: true class down, predicted class across", _INK, _font(14))
    font = _font(max(8, min(13, cell // 3)))
    for row, name in enumerate(classes):
        row_total = max(1, int(counts[row].sum()))
        for column in range(size):
            value = int(counts[row, column])
            x, y = left + column * cell, _MARGIN + row * cell
            shade = value / row_total
            fill = tuple(round(255 - (255 - tone) * shade) for tone in _BLUE)
            draw.rectangle((x, y, x + cell, y + cell), fill=fill, outline=_GREY)
            if value and size <= _MAX_LABELLED:
                ink = _PAPER if shade > 0.5 else _INK  # noqa: PLR2004 - half dark
                draw.text((x + cell / 2, y + cell / 2), str(value), ink, font, anchor="mm")
        if size <= _MAX_LABELLED:
            draw.text((left - 6, _MARGIN + (row + 0.5) * cell), name[:14], _INK, font, anchor="rm")
            draw.text((left + (row + 0.5) * cell, _MARGIN - 6), name[:6], _INK, font, anchor="mb")
    _save(picture, path)


def curves(shown: Sequence[Curve], path: Path) -> None:
    """Draw each curve, of training and validation examples, beside the others, and mark where the kept one is."""
    picture = Image.new("RGB", (max(1, len(shown)) * 500, 420), _PAPER)
    draw = ImageDraw.Draw(picture)
    for index, curve in enumerate(shown):
        _panel(draw, index * 500, curve)
    _save(picture, path)


def _panel(draw: ImageDraw.ImageDraw, offset: int, curve: Curve) -> None:
    left, top, right, bottom = offset + _MARGIN, 50, offset + 480, 370
    lines = (curve.training, curve.validation)
    values = [value for line in lines for value in line if abs(value) < float("inf")]  # a nan fails this too
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    high = high if high > low else low + 1
    steps = max(1, len(curve.training) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return left + (right - left) * index / steps, bottom - (bottom - top) * (value - low) / (high - low)

    draw.rectangle((left, top, right, bottom), outline=_GREY)
    kept = place(curve.kept - 1, low)[0]
    draw.line((kept, top, kept, bottom), _GREY)
    for line, colour in zip(lines, (_BLUE, _ORANGE), strict=True):
        points = [place(index, value) for index, value in enumerate(line) if abs(value) < float("inf")]
        draw.line(points, colour, 2)
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    font = _font(13)
    draw.text((left, 14), curve.title, _INK, _font(16))
    draw.text((right, 14), "training", _BLUE, font, anchor="ra")
    draw.text((right, 30), "validation", _ORANGE, font, anchor="ra")
    draw.text((left - 4, top), f"{high:.3g}", _INK, font, anchor="rt")
    draw.text((left - 4, bottom), f"{low:.3g}", _INK, font, anchor="rb")
    draw.text((left, bottom + 6), "1", _INK, font)
    draw.text((right, bottom + 6), str(len(curve.training)), _INK, font, anchor="ra")


def residuals(predicted: Any, truth: Any, path: Path) -> None:  # noqa: ANN401 - arrays
    """Draw predicted quantities over true ones, and the line where they are equal."""
    picture = Image.new("RGB", (560, 560), _PAPER)
    draw = ImageDraw.Draw(picture)
    low = float(min(predicted.min(), truth.min()))
    high = max(float(max(predicted.max(), truth.max())), low + 1e-12)
    left, top, side = 80, 40, 460

    def place(value: float) -> float:
        return side * (value - low) / (high - low)

    draw.rectangle((left, top, left + side, top + side), outline=_GREY)
    draw.line((left, top + side, left + side, top), _GREY)
    for found, real in zip(predicted, truth, strict=True):
        x, y = left + place(float(real)), top + side - place(float(found))
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_BLUE)
    font = _font(13)
    draw.text((left, 14), "Predicted (up) by true value (across)", _INK, _font(16))
    draw.text((left, top + side + 8), f"{low:.4g}", _INK, font)
    draw.text((left + side, top + side + 8), f"{high:.4g}", _INK, font, anchor="ra")
    draw.text((left - 6, top + side), f"{low:.4g}", _INK, font, anchor="rb")
    draw.text((left - 6, top), f"{high:.4g}", _INK, font, anchor="rt")
    _save(picture, path)


def _font(size: int) -> Any:  # noqa: ANN401 - Pillow has two kinds
    return ImageFont.load_default(size)


def _save(picture: Image.Image, path: Path) -> None:
    with open_atomic(path) as stream:
        picture.save(stream, "PNG")

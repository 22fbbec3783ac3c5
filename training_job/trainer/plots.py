"""Two pictures of a training, drawn with Pillow: the confusion matrix and the curves of loss and accuracy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from training_job.atomic_write import open_atomic
from training_job.trainer.loop import Epoch

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


def curves(epochs: Sequence[Epoch], best: int, path: Path) -> None:
    """Draw loss and accuracy by epoch, for training and held-out examples, and mark epoch number `best`."""
    picture = Image.new("RGB", (1000, 420), _PAPER)
    draw = ImageDraw.Draw(picture)
    panels = (
        ("loss", [epoch.loss for epoch in epochs], [epoch.validation_loss for epoch in epochs]),
        ("accuracy", [epoch.train_accuracy for epoch in epochs], [epoch.accuracy for epoch in epochs]),
    )
    for index, (title, training, held_out) in enumerate(panels):
        _panel(draw, index * 500, title, (training, held_out), best)
    _save(picture, path)


def _panel(draw: ImageDraw.ImageDraw, offset: int, title: str, lines: Sequence[Sequence[float]], best: int) -> None:
    left, top, right, bottom = offset + _MARGIN, 50, offset + 480, 370
    values = [value for line in lines for value in line if abs(value) < float("inf")]  # a nan fails this too
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    high = high if high > low else low + 1
    steps = max(1, len(lines[0]) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        return left + (right - left) * index / steps, bottom - (bottom - top) * (value - low) / (high - low)

    draw.rectangle((left, top, right, bottom), outline=_GREY)
    kept = place(best - 1, low)[0]
    draw.line((kept, top, kept, bottom), _GREY)
    for line, colour in zip(lines, (_BLUE, _ORANGE), strict=True):
        points = [place(index, value) for index, value in enumerate(line) if abs(value) < float("inf")]
        draw.line(points, colour, 2)
        for x, y in points:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    font = _font(13)
    draw.text((left, 14), f"{title} by epoch", _INK, _font(16))
    draw.text((right, 14), "training", _BLUE, font, anchor="ra")
    draw.text((right, 30), "held out", _ORANGE, font, anchor="ra")
    draw.text((left - 4, top), f"{high:.3g}", _INK, font, anchor="rt")
    draw.text((left - 4, bottom), f"{low:.3g}", _INK, font, anchor="rb")
    draw.text((left, bottom + 6), "1", _INK, font)
    draw.text((right, bottom + 6), str(len(lines[0])), _INK, font, anchor="ra")


def _font(size: int) -> Any:  # noqa: ANN401 - Pillow has two kinds
    return ImageFont.load_default(size)


def _save(picture: Image.Image, path: Path) -> None:
    with open_atomic(path) as stream:
        picture.save(stream, "PNG")

"""`kedja predict` makes of cells and pictures what the built-in trainer made of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kedja_cli.scoring import pictures
from kedja_cli.scoring.encoding import EncodedColumn
from kedja_cli.scoring.package import Network, Picture
from training_job.trainer.datasets import pictures as trained_pictures
from training_job.trainer.datasets.tables.columns import Column, Kind, Scale

GAPS = Scale(fill=20.5, mean=31.25, deviation=7.5, flag=True)
COLUMNS = {
    "number": (Column(name="c", kind=Kind.NUMBER, scales=(GAPS,)), ["1", " -2.5 ", "1e3", ".5", "+7", "", "nan"]),
    "boolean": (
        Column(name="c", kind=Kind.BOOLEAN, scales=(GAPS,), words={"yes": 1.0, "no": 0.0}),
        ["yes", "NO", " Yes ", ""],
    ),
    "category": (
        Column(name="c", kind=Kind.CATEGORY, categories=("", "Bern", "10")),
        ["Bern", " 10", "Wien", "", "NA"],
    ),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_cells_become_the_inputs_of_training(kind: str) -> None:
    trained, cells = COLUMNS[kind]
    column = EncodedColumn.of({**trained.to_json(), "input": "x"})
    missing = [
        None if cell.strip() in ("", "NA", "nan") else cell for cell in cells
    ]  # as the trainer's reader leaves them
    wanted = trained.encode(pd.Series(missing, dtype=object))
    np.testing.assert_array_equal(np.array([column.encode(cell) for cell in cells], np.float32), wanted)


def network(mode: str) -> Network:
    picture = Picture(mode=mode, size=(8, 6), has_channels=mode == "RGB", resizes=True)
    return Network(
        name="model",
        file=Path("model.onnx"),
        kind="picture",
        is_verified=True,
        inputs=(),
        outputs=(),
        classes=None,
        picture=picture,
        columns=(),
        encoded=(),
        label=None,
    )


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("given", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "turned"])
def test_pictures_become_those_of_training(tmp_path: Path, mode: str, given: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (25, 19, 4), np.uint8)
    path = tmp_path / ("in.tif" if given == "CMYK" else "in.png")
    image = Image.fromarray(pixels, "RGBA").convert("RGB" if given == "turned" else given)
    exif = Image.Exif()
    if given == "turned":
        exif[0x0112] = 6
    image.save(path, exif=exif)
    (wanted,) = trained_pictures.decode([path], trained_pictures.Size(mode=mode, shape=(8, 6)), tmp_path)
    np.testing.assert_array_equal(pictures.read(path, network(mode)), wanted)

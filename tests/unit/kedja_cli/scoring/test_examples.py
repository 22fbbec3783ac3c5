import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from kedja_cli.errors import CommandError
from kedja_cli.scoring import examples
from kedja_cli.scoring.answers import accuracy, answer
from kedja_cli.scoring.examples import Examples
from kedja_cli.scoring.package import Network, Package
from tests.unit.kedja_cli.scoring import packages

ROWS = np.array([[0, 0.5, 1], [1, 0, 0.25]], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "package"


def network(folder: Path, *described: dict[str, Any]) -> Network:
    return Package.open(packages.described(folder, *described)).choose(None)


def saved(folder: Path, array: Any, name: str = "in.npy") -> Path:  # noqa: ANN401 - an array
    path = folder.parent / name
    np.save(path, array)
    return path


def table(folder: Path, text: str, **options: str) -> tuple[Network, Examples]:
    found = network(folder, packages.table(folder, **options))
    path = folder.parent / "in.csv"
    path.write_text(text)
    return found, examples.read(path, found)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_an_array_is_scored(folder: Path, dtype: type) -> None:
    found = network(folder, packages.scores(folder))
    answers = list(answer(found, examples.read(saved(folder, ROWS.astype(dtype)), found)))
    expected = ROWS @ packages.WEIGHTS
    assert [one["class"] for one in answers] == ["yes", "no"]
    np.testing.assert_allclose([list(one["scores"].values()) for one in answers], expected, rtol=1e-6)


def test_more_examples_than_a_batch_keep_their_order(folder: Path) -> None:
    found = network(folder, packages.scores(folder, classes=None))
    rows = np.random.default_rng(0).uniform(0, 1, (600, 3)).astype(np.float32)
    answers = list(answer(found, examples.read(saved(folder, rows), found)))
    np.testing.assert_allclose([one["outputs"]["y"] for one in answers], rows @ packages.WEIGHTS, rtol=1e-5)


def test_a_single_example_needs_no_axis_for_the_batch(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    assert examples.read(saved(folder, ROWS[0]), found).count == 1


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ((ROWS * 255).astype(np.uint8), "has uint8 for input x, and the network was trained on float32"),
        (ROWS.astype(np.int64), "has int64 for input x"),
        (ROWS * 255, r"values from 0 to 255 for input x, and those of training were from 0 to 1"),
        (ROWS - 2, "values from -2 to -1"),
        (ROWS * np.nan, "not finite"),
        (ROWS[:, :2], r"has shape \(2, 2\) for input x, and the network takes float32 \(N, 3\)"),
        (ROWS[:0], "has no examples"),
        (np.array(["a"]), "has <U1 for input x"),
    ],
)
def test_what_differs_from_training_is_refused(folder: Path, array: Any, message: str) -> None:  # noqa: ANN401 - an array
    found = network(folder, packages.scores(folder))
    with pytest.raises(CommandError, match=message):
        examples.read(saved(folder, array), found)


def test_another_range_is_accepted_if_that_is_wanted(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    assert examples.read(saved(folder, ROWS * 255), found, any_range=True).arrays["x"].max() == 255


@pytest.mark.parametrize(
    ("seen", "bounds", "factor", "is_refused"),
    [
        ([0, 255], [0, 255], 1, True),  # divided by 255
        ([0, 255], [0, 255], 200, False),
        ([-2.5, 3], None, 25, False),
        ([-2.5, 3], None, 255, True),
        (None, None, 1e6, False),
    ],
)
def test_bytes_and_free_values_have_ranges_too(
    folder: Path, *, seen: list[float] | None, bounds: list[float] | None, factor: float, is_refused: bool
) -> None:
    inputs = [packages.tensor("x", "float32", "N", 3, seen=seen, bounds=bounds)]
    found = network(folder, packages.scores(folder, inputs=inputs))
    path = saved(folder, ROWS * np.float32(factor))
    if is_refused:
        with pytest.raises(CommandError, match="those of training"):
            examples.read(path, found)
    else:
        assert examples.read(path, found).count == 2


def test_a_fixed_batch_is_kept_to(folder: Path) -> None:
    inputs = [packages.tensor("x", "float32", 2, 3)]
    found = network(folder, packages.scores(folder, inputs=inputs))
    assert len(list(answer(found, examples.read(saved(folder, np.tile(ROWS, (2, 1))), found)))) == 4
    for rows in (np.tile(ROWS, (2, 1))[:3], ROWS[0]):
        with pytest.raises(CommandError, match=r"2 at a time|shape"):
            examples.read(saved(folder, rows), found)


def test_an_archive_may_bring_its_labels(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    np.savez(folder.parent / "in.npz", x=ROWS, y=np.array([1, 1]))
    given = examples.read(folder.parent / "in.npz", found)
    assert given.labels == ["yes", "yes"]
    assert accuracy(list(answer(found, given)), given.labels) == 0.5


def test_an_archive_has_an_array_for_each_input(folder: Path) -> None:
    inputs = [packages.tensor("a", "float32", "N"), packages.tensor("b", "float32", "N")]
    found = network(folder, packages.scores(folder, inputs=inputs))
    np.savez(folder.parent / "in.npz", a=np.ones(2, "f"), x=ROWS)
    with pytest.raises(CommandError, match="lacks the array 'b'"):
        examples.read(folder.parent / "in.npz", found)
    np.savez(folder.parent / "in.npz", a=np.ones(2, "f"), b=np.ones(3, "f"))
    with pytest.raises(CommandError, match="a has 2, b has 3"):
        examples.read(folder.parent / "in.npz", found)
    with pytest.raises(CommandError, match="takes 2 inputs"):
        examples.read(saved(folder, ROWS), found)


def test_pickled_objects_are_never_loaded(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    np.save(folder.parent / "in.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(CommandError, match="cannot be read as NumPy's arrays"):
        examples.read(folder.parent / "in.npy", found)


@pytest.mark.parametrize(
    ("sides", "mode", "layout"), [((2, 3), "L", "HW"), ((1, 2, 3), "L", "CHW"), ((3, 2, 3), "RGB", "CHW")]
)
def test_a_picture_becomes_the_bytes_of_training(folder: Path, sides: tuple[int, ...], mode: str, layout: str) -> None:
    found = network(folder, packages.pictures(folder, *sides, mode=mode, layout=layout))
    shape = (2, 3, 3) if mode == "RGB" else (2, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(folder.parent / "in.png")
    (only,) = answer(found, examples.read(folder.parent / "in.png", found))
    array = pixels.transpose(2, 0, 1) if mode == "RGB" else pixels.reshape(sides)
    weight = np.arange(1, array.size + 1).reshape(array.shape)
    assert only["outputs"]["y"] == pytest.approx(float((array * weight).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [("L", (4, 2), "is 4 x 2, and the pictures of training were 3 x 2"), ("I;16", (3, 2), "mode 'I;16'")],
)
def test_another_picture_is_refused(folder: Path, mode: str, size: tuple[int, int], message: str) -> None:
    found = network(folder, packages.pictures(folder, 2, 3, mode="L", layout="HW"))
    Image.new(mode, size).save(folder.parent / "in.png")
    with pytest.raises(CommandError, match=message):
        examples.read(folder.parent / "in.png", found)


def test_a_picture_for_a_network_of_arrays_is_not_guessed(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    Image.new("L", (3, 1)).save(folder.parent / "in.png")
    with pytest.raises(CommandError, match="how the pictures of training became"):
        examples.read(folder.parent / "in.png", found)


def test_columns_are_taken_by_name(folder: Path) -> None:
    found, given = table(folder, "city,buys,more,age\nBern,no,1,10\nRom,yes,2,40\n")
    answers = list(answer(found, given))
    assert [one["class"] for one in answers] == ["no", "yes"]
    assert answers[1]["scores"] == pytest.approx({"no": 0.2, "yes": 0.8})
    assert given.notes == ["Not used: column more."]
    assert accuracy(answers, given.labels) == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("city\nBern\n", "lacks column age"),
        ("age,city\n1,Wien\n", "Line 2 of in.csv has 'Wien' in column 'city', which training did not have"),
        ("age,city\n1,Bern\nx,Bern\n", "Line 3 of in.csv has 'x' in column 'age': a number is expected"),
        ("age,city\ninf,Bern\n", "'inf'"),
        ("age,city\n,Bern\n", "Line 2 of in.csv has an empty cell in column 'age'"),
        ("age,city\n1\n", "has 1 cells, and the header has 2"),
        ("age,city,age\n1,Bern,2\n", "has the column 'age' twice"),
        ("age,city\n", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_tables_that_differ_are_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        table(folder, text)


def test_what_the_network_itself_handles_is_accepted(folder: Path) -> None:
    found, given = table(folder, "age,city\n,Rom\n50,Wien\n", missing="accept", unseen="accept")
    assert [one["scores"]["yes"] for one in answer(found, given)] == pytest.approx([0.4, 0.0])


NUMBER = {
    "name": "age",
    "input": "x",
    "kind": "number",
    "scales": [{"fill": 20, "mean": 30, "deviation": 10, "flag": True}],
}
CATEGORY = {"name": "city", "input": "x", "kind": "category", "categories": ["Bern", "Rom"]}
BOOLEAN = {
    "name": "member",
    "input": "x",
    "kind": "boolean",
    "scales": [{"fill": 0, "mean": 0, "deviation": 1}],
    "words": {"yes": 1, "no": 0},
}


def encoded(folder: Path, text: str, *columns: dict[str, Any]) -> Examples:
    width = 2 * len(columns)
    inputs = [packages.tensor("x", "float32", "N", width)]
    found = network(folder, packages.scores(folder, inputs=inputs, kind="table", columns=list(columns), label="y"))
    path = folder.parent / "in.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return examples.read(path, found)


def test_cells_are_encoded_as_in_training(folder: Path) -> None:
    given = encoded(folder, "city,y,age\nRom,yes,50\nWien,no,\n", NUMBER, CATEGORY)
    np.testing.assert_array_equal(given.arrays["x"], [[2, 0, 0, 1], [-1, 1, 0, 0]])
    assert given.arrays["x"].dtype == np.float32
    assert given.labels == ["yes", "no"]
    assert given.notes == ["Column city has an unknown category in line 3."]


@pytest.mark.parametrize(
    ("columns", "text", "message"),
    [
        ([NUMBER], "age\n1 000\n", "Line 2 of in.csv.gz has '1 000' in column 'age': a number is expected"),
        ([NUMBER], "age\n1_000\n", "a number is expected"),
        ([CATEGORY], 'city\n""\n', "a text is expected, as training had no empty cells"),
        ([BOOLEAN, NUMBER], "member,age\nNO,1\nperhaps,1\n", "Line 3 .* one of yes, no is expected"),
        ([BOOLEAN, NUMBER], "member,age\n?,1\n", "a value is expected, as training had no empty cells"),
        ([{**NUMBER, "kind": "date"}], "age\n2026-01-01\n", "does not read dates yet"),
        ([BOOLEAN], "member\nyes\n", r"has shape \(1, 1\) for input x"),
    ],
)
def test_cells_that_are_not_as_in_training_are_refused(
    folder: Path, columns: list[dict[str, Any]], text: str, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        encoded(folder, text, *columns)


def test_a_table_for_a_network_of_arrays_is_not_guessed(folder: Path) -> None:
    found = network(folder, packages.scores(folder))
    (folder.parent / "in.csv").write_text("a,b,c\n0,0.5,1\n")
    with pytest.raises(CommandError, match=r"how columns become float32 \(N, 3\) is not known"):
        examples.read(folder.parent / "in.csv", found)


def test_a_quantity_is_a_value(folder: Path) -> None:
    outputs = [packages.tensor("value", "float32", "N", 1)]
    node = helper.make_node("ReduceSum", ["x", "axis"], ["value"], keepdims=1)
    described = packages.scores(folder, classes=None, outputs=outputs)
    packages.graph(folder / "model.onnx", [node], described["inputs"], outputs, {"axis": np.array([1])})
    found = network(folder, described)
    answers = list(answer(found, examples.read(saved(folder, ROWS), found)))
    assert answers == [{"value": 1.5}, {"value": 1.25}]


@pytest.mark.parametrize("colour", [(255, 0, 0, 255), (0, 0, 0, 0)])
def test_pictures_are_resized_and_put_on_white_as_in_training(folder: Path, colour: tuple[int, ...]) -> None:
    described = packages.pictures(folder, 3, 2, 3, mode="RGB", layout="CHW")
    described["picture"]["resize"] = "bilinear"
    found = network(folder, described)
    Image.new("RGBA", (30, 20), colour).save(folder.parent / "in.png")
    array = examples.read(folder.parent / "in.png", found).arrays["x"]
    assert array.shape == (1, 3, 2, 3)
    wanted = (255, 0, 0) if colour[3] else (255, 255, 255)
    assert [set(channel.ravel()) for channel in array[0]] == [{value} for value in wanted]


@pytest.mark.parametrize(
    ("name", "message"), [("gone.npy", "is not a file"), ("in.txt", "an ending that is not known")]
)
def test_other_files_are_refused(folder: Path, name: str, message: str) -> None:
    found = network(folder, packages.scores(folder))
    (folder.parent / "in.txt").write_text("x")
    with pytest.raises(CommandError, match=message):
        examples.read(folder.parent / name, found)


def test_a_network_that_is_not_as_described_is_refused(folder: Path) -> None:
    found = network(folder, packages.scores(folder, outputs=[packages.tensor("z", "float32", "N", 2)]))
    with pytest.raises(CommandError, match=r"other inputs or outputs than its input\.json says"):
        list(answer(found, examples.read(saved(folder, ROWS), found)))
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(CommandError, match=r"model\.onnx cannot be loaded"):
        list(answer(found, examples.read(saved(folder, ROWS), found)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../../etc/passwd"}, "not the name of a file"),
        ({"kind": "text"}, "kind is 'text'"),
        ({"inputs": 1}, ""),
    ],
)
def test_a_damaged_description_is_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandError, match=f"does not describe a package.*{message}"):
        network(folder, packages.scores(folder) | change)


def test_a_newer_description_asks_for_a_newer_command(folder: Path) -> None:
    packages.described(folder, packages.scores(folder))
    text = (folder / "input.json").read_text().replace('"version": 1', '"version": 2')
    (folder / "input.json").write_text(text)
    with pytest.raises(CommandError, match="has version 2"):
        Package.open(folder)

"""Scripts and data with unusual names, on the node as in storage."""

import pytest

from tests.unit.training_job.drops import Drop

NAMES = [
    "a b#c%d&e+f",
    'it\'s "quoted" `x` $(y) $z;|<>',
    "日本語 ñ",
    "\u200fright to left",
    "😀",
    "*[a]{b}!",
    "x" * 240,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_and_its_data_of_any_name(drop: Drop, name: str) -> None:
    drop.scripts = {f"{name}.py": "import os; print(sorted(os.listdir(os.environ['KEDJA_DATA'])))"}
    drop.data = {f"{name}.bin": b"x"}
    ended = drop.launch("python", f"{name}.py")
    assert (ended.code, ended.output.strip()) == (0, str([f"{name}.bin"]))

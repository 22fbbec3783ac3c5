"""The layout of the code: rooms of a size that a reader can take in, and docs/design.md lists their modules."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("function_app", "kedja_cli", "local_azure", "training_job")
MAX_FILES_AT_THE_ROOT = 6
MAX_MODULES = 16
MAX_LINES, MAX_TEST_LINES = 320, 400
MAX_FUNCTION, LONG_FUNCTION = 60, 40


def modules(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def functions() -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of every function."""
    for path in modules(*PACKAGES):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_the_service_shows_its_rooms() -> None:
    assert len([*(ROOT / "function_app").glob("*.py")]) <= MAX_FILES_AT_THE_ROOT


def test_no_folder_has_too_many_modules() -> None:
    counted = Counter(path.parent for path in modules(*PACKAGES))
    assert {str(folder.relative_to(ROOT)): count for folder, count in counted.items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize(("folders", "limit"), [(PACKAGES, MAX_LINES), (("tests",), MAX_TEST_LINES)], ids=str)
def test_no_module_is_too_long(folders: tuple[str, ...], limit: int) -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in modules(*folders)}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > limit} == {}


def test_functions_are_short() -> None:
    counted = dict(functions())
    assert {name: lines for name, lines in counted.items() if lines > MAX_FUNCTION} == {}
    assert sum(lines < LONG_FUNCTION for lines in counted.values()) >= 0.99 * len(counted)


@pytest.mark.parametrize("package", ["function_app", "kedja_cli", "local_azure"])
def test_the_layout_in_the_documentation_has_every_module(package: str) -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Layout")[2]
    block = re.search(rf"^{package}/.*?(?=^[a-z_]+/ )", text, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    named = {*re.findall(r"[a-z0-9_]+", block[0])}
    there = {path.stem for path in modules(package)} - {"__init__", "__main__"}
    assert there - named == set()

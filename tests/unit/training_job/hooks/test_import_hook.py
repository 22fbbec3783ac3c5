import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from training_job.hooks.import_hook import Patch, PatchFinder, install


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PatchFinder]:
    (tmp_path / "kedja_mended.py").write_text("order.append('code')\nVALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    @contextlib.contextmanager
    def patcher(module: Any) -> Iterator[None]:  # noqa: ANN401 - has what the code below gives it
        module.order = ["before"]
        yield
        module.order.append("after")
        module.VALUE += 1

    yield PatchFinder([Patch("kedja_mended", "it", "1", "so", patcher)])
    sys.modules.pop("kedja_mended", None)


def test_a_mend_runs_around_the_module(finder: PatchFinder) -> None:
    install(finder)
    module = importlib.import_module("kedja_mended")
    assert (module.order, module.VALUE) == (["before", "code", "after"], 2)
    assert str(module.__file__).endswith("kedja_mended.py")


def test_installing_twice_mends_once(finder: PatchFinder) -> None:
    install(finder)
    install(finder)
    assert sys.meta_path.count(finder) == 1
    assert importlib.import_module("kedja_mended").VALUE == 2


def test_other_modules_are_left_to_the_other_finders(finder: PatchFinder) -> None:
    assert finder.find_spec("json") is None


def test_a_module_that_is_not_there_stays_so() -> None:
    finder = PatchFinder([Patch("kedja_not_there", "", "", "", lambda _: contextlib.nullcontext())])
    assert finder.find_spec("kedja_not_there") is None


def test_two_finders_patch_the_same_module(finder: PatchFinder) -> None:
    @contextlib.contextmanager
    def double(module: Any) -> Iterator[None]:  # noqa: ANN401 - as above
        yield
        module.VALUE *= 10

    install(finder)
    install(PatchFinder([Patch("kedja_mended", "it", "1", "so", double)]))
    assert importlib.import_module("kedja_mended").VALUE == 20

"""What runs the suites runs all of them, and says what it left out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from tests import suites
from tests.suites import Result, Suite, summary

TESTS = Path(__file__).parents[1]


def result(name: str, *, status: int = 0, report: Mapping[str, Any] | None = None) -> Result:
    return Result(suite=Suite(name=name, command=()), status=status, seconds=61.4, report=report or {})


def counts(passed: int, **others: int) -> Mapping[str, int]:
    return {"passed": passed, "failed": 0, "error": 0, "skipped": 0, **others}


def folders(some: list[Suite]) -> set[str]:
    return {word for suite in some for word in suite.command if word.startswith("tests/")}


def test_each_folder_of_tests_belongs_to_a_suite() -> None:
    found = {path.parent for path in TESTS.rglob("test_*.py") if not path.is_relative_to(TESTS / "chainer_suite")}
    named = [TESTS.parent / name for name in folders([*suites.fast(), *suites.rest()])]
    assert [path for path in found if not any(path.is_relative_to(folder) for folder in named)] == []


def test_what_the_quick_run_leaves_out_of_a_folder_the_rest_runs() -> None:
    assert folders(suites.fast()) <= folders(suites.rest())


def test_the_summary_has_each_suite_with_its_time_and_counts() -> None:
    text = summary(
        [result("unit", report={"counts": counts(1200, skipped=3)}), result("infra", status=1)],
        100.0,
        left_out=False,
        slowest=False,
    )
    assert "ok   unit      61  1,200 passed, 3 skipped" in text
    assert "FAIL infra     61" in text
    assert "together    100" in text
    assert "\n1200 passed, 0 failed, 3 skipped\n" in text


@pytest.mark.parametrize(("chromium", "said"), [("/usr/bin/chromium", False), (None, True)])
def test_the_quick_run_ends_with_what_it_left_out(mocker: MockerFixture, chromium: str | None, said: bool) -> None:  # noqa: FBT001 - a parameter
    mocker.patch("tests.suites.shutil.which", return_value=chromium)
    reports: list[Mapping[str, Any]] = [{"skipped": {"there is no mpirun": 4}}, {"skipped": {}}]
    text = summary([result("unit", report=report) for report in reports], 1.0, left_out=True, slowest=False)
    *_, skipped, left_out = text.splitlines() if not said else text.splitlines()[:-1]
    assert skipped == "Skipped, 4: there is no mpirun"
    assert left_out.startswith("Left out: slow tests")
    assert "make test-all" in left_out
    assert ("apt-get install chromium" in text) is said


def test_the_slowest_tests_are_named() -> None:
    report = {"seconds": {f"test_{number}": float(number) for number in range(30)}}
    text = summary([result("unit", report=report)], 1.0, left_out=False, slowest=True)
    assert "    29.0  test_29" in text
    assert "test_10" in text
    assert "test_9" not in text


@pytest.mark.parametrize(("status", "passed"), [(0, True), (1, False), (2, False), (5, True)])
def test_a_suite_of_which_nothing_is_chosen_passes(status: int, passed: bool) -> None:  # noqa: FBT001 - a parameter
    assert result("unit", status=status).passed is passed

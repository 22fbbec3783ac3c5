"""What becomes of a table's columns: kinds, numbers for the network, and their description as JSON."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from training_job.trainer.datasets.tables import kinds
from training_job.trainer.datasets.tables.columns import Column, Kind


def column(cells: list[Any], name: str = "a") -> Column:
    """Return what becomes of cells, after a round trip through JSON."""
    found = kinds.understand(name, pd.Series(cells))
    assert isinstance(found, Column), found
    again = Column.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    return again


def encoded(cells: list[Any], *, new: list[Any] | None = None) -> Any:  # noqa: ANN401 - an array
    return column(cells).encode(pd.Series(cells if new is None else new, dtype=None if new is None else object))


def test_numbers_have_mean_0_and_deviation_1() -> None:
    assert encoded([1.0, 3.0, 1.0, 3.0]).tolist() == [[-1], [1], [-1], [1]]


def test_large_numbers_that_differ_little_stay_different() -> None:
    large = [1e15, 1e15 + 2, 1e15, 1e15 + 2]
    assert encoded(large).tolist() == [[-1], [1], [-1], [1]]


def test_a_wild_value_stays_finite() -> None:
    values = encoded([1.0, 3.0, 1.0, 3.0], new=[1e300, -1.7e308])
    assert values.tolist() == [[1e6], [-1e6]]


@pytest.mark.parametrize("unit", [1e-300, 1e300, 5e307])
def test_numbers_of_any_size_are_scaled(unit: float) -> None:
    assert encoded([1 * unit, 3 * unit, 1 * unit, 3 * unit]).ravel() == pytest.approx([-1, 1, -1, 1])


def test_a_missing_number_is_the_median_and_flagged() -> None:
    found = column([0.0, 10.0, None, 10.0])
    assert found.inputs == ("a", "a is missing")
    values = found.encode(pd.Series([10.0, None]))
    assert values[0, 0] == values[1, 0]
    assert values[:, 1].tolist() == [0, 1]


def test_a_number_that_is_missing_for_the_first_time_is_the_median() -> None:
    values = encoded([0.0, 10.0, 10.0], new=[10.0, None, "n/a"])
    assert (values[1:] == values[0]).all()


def test_an_unknown_category_is_no_known_one() -> None:
    found = column(["red", "blue"] * 10 + [None] * 3)
    assert found.inputs == ("a=", "a=blue", "a=red")
    assert found.encode(pd.Series(["red", "green", None])).tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]


def test_rare_categories_are_unknown() -> None:
    assert column(["red", "blue"] * 10 + ["pink", "green"]).categories == ("blue", "red")


def test_at_most_100_categories_are_known() -> None:
    cells = [f"c{number}" for number in range(150) for _ in range(3 + (number < 20))]
    found = column(cells)
    assert len(found.categories) == 100
    assert {f"c{number}" for number in range(20)} <= set(found.categories)


def test_whole_numbers_as_categories_are_the_same_with_a_gap() -> None:
    found = Column(name="a", kind=Kind.CATEGORY, categories=("1", "2"))
    assert found.encode(pd.Series([1.0, None, 2.0])).tolist() == [[1, 0], [0, 0], [0, 1]]


def test_words_that_recur_among_few_numbers_are_categories() -> None:
    found = column(["9", "10", "11", "12"] * 30 + ["other"] * 3)
    assert found.categories == ("10", "11", "12", "9", "other")


def test_words_that_recur_among_many_numbers_are_missing_numbers() -> None:
    found = column([str(number * 1.5) for number in range(200)] + ["ungraded"] * 4)
    assert found.inputs == ("a", "a is missing")


def test_a_word_among_numbers_is_found_by_its_row() -> None:
    cells = pd.Series([str(number) for number in range(50, 0, -1)] + ["1O"])
    assert kinds.understand("a", cells) == kinds.OddCell(name="a", row=50, text="'1O'", odd=1, count=51)


def test_a_run_of_numbers_can_be_kept() -> None:
    found = kinds.understand("time", pd.Series(range(1, 41)), keep_runs=True)
    assert isinstance(found, Column)
    assert isinstance(kinds.understand("rownames", pd.Series(range(1, 41)), keep_runs=True), kinds.LeftOut)


@pytest.mark.parametrize("words", [("yes", "no"), ("TRUE", "false"), ("Ja", "Nein")])
def test_booleans_are_one_number(words: tuple[str, str]) -> None:
    found = column([words[0], words[1]] * 5)
    assert found.kind is Kind.BOOLEAN
    assert found.encode(pd.Series(words)).tolist() == [[1], [-1]]
    assert found.encode(pd.Series([words[0].upper(), words[1].lower()])).tolist() == [[1], [-1]]


@pytest.mark.parametrize(
    ("texts", "style"),
    [
        (["2020-01-31", "2020-03-01"], "ISO8601"),
        (["2020-01-31T10:00:00Z", "2020-03-01T11:30:00+01:00"], "ISO8601"),
        (["31.1.2020", "1.3.2020"], "%d.%m.%Y"),
        (["01/31/2020", "03/01/2020"], "%m/%d/%Y"),
        (["31/01/2020", "01/03/2020"], "%d/%m/%Y"),
        (["31-Jan-20", "01-Mar-20"], "%d-%b-%y"),
        (["January 31, 2020", "March 1, 2020"], "%B %d, %Y"),
    ],
)
def test_dates_become_numbers(texts: list[str], style: str) -> None:
    found = column(texts * 3)
    assert (found.kind, found.format) == (Kind.DATE, style)
    parsed = dict(zip([scale.part for scale in found.scales], found.parse(pd.Series(texts)).T.tolist(), strict=True))
    assert int(parsed["days"][1]) - int(parsed["days"][0]) == 30
    assert parsed["month"] == [1, 3]
    assert parsed["weekday"] == [4, 6]


def test_a_missing_date_has_one_flag() -> None:
    found = column(["2020-01-31", "2020-03-01", None] * 3)
    assert [name for name in found.inputs if "missing" in name] == ["a.days is missing"]
    assert np.isfinite(found.encode(pd.Series(["2021-01-01", None, "soon"]))).all()


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("id", [7, 3, 9, 4], "numbers the rows"),
        ("customer_id", [7.0, 3.0, 9.0, 4.0], "numbers the rows"),
        ("a", list(range(1, 31)), "numbers the rows"),
        ("a", [f"x{i}" for i in range(30)], "has a different text in nearly every row, such as 'x0'"),
        ("a", [None, None], "is empty"),
        ("a", [5, 5, 5], "has the same value in each row ('5')"),
    ],
)
def test_what_says_nothing_is_left_out(name: str, cells: list[Any], reason: str) -> None:
    assert kinds.understand(name, pd.Series(cells)) == kinds.LeftOut(name=name, reason=reason)


@pytest.mark.parametrize("cells", [list(range(1990, 2020)), [3, 1, 2, 4], [float(i) / 3 for i in range(30)]])
def test_numbers_that_only_resemble_identifiers_are_kept(cells: list[Any]) -> None:
    assert column(cells, "year").kind is Kind.NUMBER

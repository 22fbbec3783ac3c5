"""What pandas has lost, as scripts call it."""

import io

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

pytest.importorskip("pandas", reason="a job may bring it itself")

SCRIPT = """
import pandas as pd
frame = pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0], "t": ["x", "y"]})
"""


def test_rows_are_appended() -> None:
    code = """
    more = frame.append({"a": 5, "b": 6.0, "t": "z"}, ignore_index=True)
    both = frame.append(frame)
    named = pd.DataFrame().append(pd.Series({"a": 1}, name="r"))
    log = pd.DataFrame(columns=["a", "b"]).append({"a": 1, "b": 2}, ignore_index=True)
    series = pd.Series([1]).append(pd.Series([2]), ignore_index=True)
    """
    found = run(SCRIPT + code.replace("\n    ", "\n"))
    assert found["more"].values.tolist() == [[1, 3.0, "x"], [2, 4.0, "y"], [5, 6.0, "z"]]
    assert found["both"].index.tolist() == [0, 1, 0, 1]
    assert found["named"].index.tolist() == ["r"]
    assert found["log"].values.tolist() == [[1, 2]]
    assert found["series"].tolist() == [1, 2]


def test_access_by_label_or_position() -> None:
    code = """
    one, part = frame.ix[0, "a"], frame.ix[:, ["b"]]
    column, corner = frame.ix[:, 1].tolist(), frame.ix[0:1, 0:2].shape
    named = frame.set_index("t")
    row, value = named.ix[1].tolist(), named.ix["x", "a"]
    frame.ix[1, "a"] = 9
    """
    found = run(SCRIPT + code.replace("\n    ", "\n"))
    assert (found["one"], found["part"].columns.tolist()) == (1, ["b"])
    assert (found["column"], found["corner"]) == ([3.0, 4.0], (2, 2))
    assert (found["row"], found["value"]) == ([2, 4.0], 1)
    assert found["frame"]["a"].tolist() == [1, 9]


def test_methods_and_arguments_of_before() -> None:
    code = """
    matrix, names = frame[["a", "b"]].as_matrix(), [name for name, _ in frame.iteritems()]
    dropped, mean, sorted_ = frame.drop("t", 1), frame.mean().tolist(), frame.sort("a", ascending=False)["a"].tolist()
    value, looked_up = frame.get_value(0, "b"), frame.lookup([0, 1], ["a", "b"]).tolist()
    rolling, kind = pd.rolling_mean(frame["a"], 2).tolist()[1], pd.np.__name__
    text = frame.to_csv(index=False, line_terminator="|")
    """
    found = run(SCRIPT + code.replace("\n    ", "\n"))
    assert found["matrix"].tolist() == [[1, 3], [2, 4]]
    assert found["names"] == ["a", "b", "t"]
    assert found["dropped"].columns.tolist() == ["a", "b"]
    assert (found["mean"], found["sorted_"]) == ([1.5, 3.5], [2, 1])
    assert (found["value"], found["looked_up"], found["rolling"], found["kind"]) == (3.0, [1, 4.0], 1.5, "numpy")
    assert found["text"] == "a,b,t|1,3.0,x|2,4.0,y|"


def test_files_are_read_with_the_arguments_of_before() -> None:
    code = """
    import pandas as pd
    good = pd.read_csv(broken, error_bad_lines=False, warn_bad_lines=False)
    tabs, one = pd.read_csv(tabbed, "\\t"), pd.read_csv(column, squeeze=True)
    """
    found = run(
        code, broken=io.StringIO("a,b\n1,2\n1,2,3"), tabbed=io.StringIO("a\tb\n1\t2"), column=io.StringIO("a\n7")
    )
    assert found["good"].values.tolist() == [[1, 2]]
    assert (found["tabs"].shape, found["one"].tolist()) == ((1, 2), [7])


@pytest.mark.parametrize("code", ["frame.append", "frame.ix", "frame.drop('t', 1)", "frame.mean()", "pd.np"])
def test_other_packages_see_todays_pandas(code: str) -> None:
    with pytest.raises((AttributeError, TypeError)):
        run_elsewhere(SCRIPT + code)


def test_a_column_of_a_lost_name_is_a_column_for_other_packages() -> None:
    assert run_elsewhere("import pandas as pd; x = pd.DataFrame({'ix': [1]}).ix.tolist()")["x"] == [1]

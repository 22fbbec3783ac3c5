import pytest

from tests.unit.training_job.drops import Drop


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("xrange(3)", "NameError: name 'xrange' is not defined (xrange is Python 2: convert the script"),
        ("import cPickle", "ModuleNotFoundError: No module named 'cPickle' (cPickle is Python 2: "),
        ("{}.iteritems()", "AttributeError: 'dict' object has no attribute 'iteritems' (iteritems is Python 2: "),
        ("import sys; sys.maxint", "AttributeError: module 'sys' has no attribute 'maxint' (maxint is Python 2: "),
        ("from itertools import izip", "(izip is Python 2: convert the script, for example with fissix)"),
    ],
)
def test_the_reason_says_what_is_python_2(drop: Drop, line: str, reason: str) -> None:
    drop.scripts = {"train.py": line}
    assert reason in drop.launch("python", "train.py").manifest["reason"]


@pytest.mark.parametrize("line", ["spam", "import spam", "{}.spam", "import os.spam", "raise ValueError('xrange')"])
def test_other_errors_are_left_alone(drop: Drop, line: str) -> None:
    drop.scripts = {"train.py": line}
    assert "Python 2" not in drop.launch("python", "train.py").manifest["reason"]

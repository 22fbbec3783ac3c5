"""Removed methods of Python's classes, and calls that it refuses, as scripts make them."""

import random

import pytest

from tests.unit.training_job.hooks.compat.old_code import run, run_elsewhere

CALLS = {
    "import array; a = array.array('b'); a.fromstring(b'ab'); x = a.tostring()": b"ab",
    "import threading; x = threading.current_thread().isAlive()": True,
    "import xml.etree.ElementTree as e; x = [c.tag for c in e.fromstring('<a><b/></a>').getchildren()]": ["b"],
    "import xml.etree.ElementTree as e; x = [c.tag for c in e.fromstring('<a><b/></a>').getiterator()]": ["a", "b"],
    "import xml.etree.cElementTree as e; x = e.fromstring('<a/>').tag": "a",
    "import random; x = sorted(random.sample({1, 2}, 2))": [1, 2],
    "import random; x = [1, 2, 3]; random.shuffle(x, lambda: 0.0)": [2, 3, 1],
    "import time; x = time.clock() >= 0": True,
    "from fractions import gcd; x = gcd(12, 18), gcd(4, -6)": (6, -2),
    "import base64; x = base64.decodestring(base64.encodestring(b'a'))": b"a",
    "import collections; x = isinstance([], collections.Iterable)": True,
    "import inspect; x = inspect.formatargspec(*inspect.getfullargspec(lambda a, b=1, *c, d, e=2, **f: 0))": (
        "(a, b=1, *c, d, e=2, **f)"
    ),
    "import inspect; x = inspect.getargspec(lambda a, *b: 0).varargs": "b",
    "import cgi, pipes; x = cgi.escape('<\"'), cgi.parse_header('a/b; c=d'), pipes.quote('a b')": (
        '&lt;"', ("a/b", {"c": "d"}), "'a b'",
    ),
    "import platform; x = len(platform.linux_distribution()), len(platform.dist())": (3, 3),
    "import os; x = os.errno.ENOENT": 2,
    "from html.parser import HTMLParseError; x = HTMLParseError.__name__": "HTMLParseError",
    "import configparser as c; x = issubclass(c.SafeConfigParser, c.ConfigParser)": True,
    "import pkg_resources as p; x = p.parse_version('1.10') > p.parse_version('1.9')": True,
    "import pkg_resources as p; x = p.resource_exists('chainer', '__init__.py')": True,
    "import pkg_resources as p; x = p.resource_isdir('chainer', 'links')": True,
    "import pkg_resources as p; x = [str(r) for r in p.parse_requirements('a>1 # b\\n\\nc')]": ["a>1", "c"],
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a Python that still has them
@pytest.mark.parametrize("code", CALLS)
def test_what_python_gave(code: str) -> None:
    assert run(code)["x"] == CALLS[code]


@pytest.mark.parametrize(
    "code",
    ["import time; time.clock", "import array; array.array('b').tostring", "import random; random.sample({1}, 1)",
     "import threading; threading.Thread.isAlive", "from fractions import gcd", "import os; os.errno"],
)  # fmt: skip
def test_other_packages_see_todays_python(code: str) -> None:
    with pytest.raises((AttributeError, TypeError, ImportError)):
        run_elsewhere(code)


def test_shuffling_with_a_seed_is_what_it_was() -> None:
    same, again = list(range(9)), list(range(9))
    random.Random(1).shuffle(same)  # noqa: S311 - a test's
    random.seed(1)
    run("import random; random.shuffle(x)", x=again)
    assert same == again

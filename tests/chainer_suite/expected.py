"""The tests of Chainer's that fail by a defect of their own, and why: `expected.toml`."""

import fnmatch
import functools
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

_FILE = Path(__file__).with_name("expected.toml")


def reason(test: str, message: str) -> str | None:
    """Return why a test may fail with this message, if that is known."""
    for each in _known():
        if fnmatch.fnmatchcase(test, _pattern(each["test"])) and each.get("message", "") in message:
            return each["reason"]
    return None


@functools.cache
def _known() -> Sequence[Mapping[str, str]]:
    known: Sequence[Mapping[str, str]] = tomllib.loads(_FILE.read_text())["difference"]
    return known


def _pattern(text: str) -> str:
    """Return a pattern in which `*` and `?` alone are special, as the names of Chainer's tests are full of brackets."""
    return text.replace("[", "[[]")

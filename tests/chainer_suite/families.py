"""Chainer's tests of one family, which differ in their parameters (or rank) alone."""

import re

# What Chainer's and ChainerMN's generated tests have in their names beside what was written.
_GENERATED = re.compile(r"_\{.*\}|_param_\d+|_use_chainerx_\w+?(?=_param|::)|\[param\d+\]| \[rank \d+\]", re.DOTALL)


def of(test: str) -> str:
    """Return the name of the test's family."""
    return _GENERATED.sub("", test)

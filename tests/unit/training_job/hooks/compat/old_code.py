"""Code of a script, run in this process as the layer sees a script's module."""

import textwrap
from typing import Any

import chainer  # noqa: F401 - the layer acts in processes that train with Chainer

import training_job  # noqa: F401 - installs the layer


def run(code: str, **names: Any) -> dict[str, Any]:  # noqa: ANN401 - a script's
    """Run the code as a script, and return its names."""
    found: dict[str, Any] = {"__name__": "__main__", **names}
    exec(textwrap.dedent(code), found)  # noqa: S102 - the caller's module is what is tested
    return found


def run_elsewhere(code: str) -> dict[str, Any]:
    """Run the code as a package that has nothing to do with Chainer, and return its names."""
    return run(code, __name__="elsewhere.x", __file__="/nowhere/site-packages/elsewhere/x.py")

"""Removed names of Python, in jobs: each script runs through `launch`, whose start-up file installs the layer."""

import sys

from tests.unit.training_job.drops import Drop

SCRIPT = """
    from collections import Iterable, Mapping
    import collections, inspect, imp, chainer
    from distutils.version import LooseVersion
    import other

    helper = imp.load_source("helper", "helper_file.py")
    imp.reload(other)
    assert isinstance([], Iterable) and isinstance({}, collections.Mapping)
    assert inspect.getargspec(helper.add) == (["a", "b"], None, None, (1,))
    assert helper.add(1) == 2 and imp.new_module("x").__name__ == "x"
    assert LooseVersion(chainer.__version__) > LooseVersion("7.0.0")
    assert other.HAS == []
    print("fine")
    """
HELPER = "def add(a, b=1):\n    return a + b\n"
OTHER = """
    import collections, importlib, inspect
    HAS = [name for name in ("Iterable", "Mapping") if hasattr(collections, name)]
    HAS += ["getargspec"] if hasattr(inspect, "getargspec") else []
    """


def test_a_chainer_script_of_its_time(drop: Drop) -> None:
    drop.scripts = {"train.py": SCRIPT, "helper_file.py": HELPER, "site-packages/other.py": OTHER}
    path = f"{drop.environment()['PYTHONPATH']}:site-packages"
    ended = drop.launch("python", "-W", "ignore", "train.py", PYTHONPATH=path)
    assert ended.output.strip() == "fine", ended.errors


def test_a_step_that_does_not_import_chainer(drop: Drop) -> None:
    drop.scripts = {
        "prepare.py": "import numpy as np, sys; print(np.float, 'chainer' in sys.modules)",
        "train.py": "import chainer; print(chainer.__version__)",
    }
    ended = drop.launch(shell="python prepare.py && python train.py")  # noqa: S604 - not subprocess's
    assert ended.output.splitlines() == ["<class 'float'> False", "7.8.1"], ended.errors


def test_a_job_without_chainer_gets_pythons_own_errors(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import collections, importlib.util, inspect
            for module, name in ((collections, "Mapping"), (inspect, "getargspec")):
                try:
                    getattr(module, name)
                except AttributeError as error:
                    print(error)
            print(importlib.util.find_spec("imp") is None)
            """
    }
    ended = drop.launch("python", "train.py")
    assert ended.output.splitlines() == [
        "module 'collections' has no attribute 'Mapping'",
        "module 'inspect' has no attribute 'getargspec'",
        str(sys.version_info >= (3, 12)),
    ], ended.errors


def test_arguments_that_the_old_answer_cannot_hold_are_an_error(drop: Drop) -> None:
    drop.scripts = {"train.py": "import chainer, inspect\ninspect.getargspec(lambda *, a: a)"}
    ended = drop.launch("python", "train.py")
    assert ended.code == 1
    assert "use inspect.signature()" in str(ended.manifest["reason"])


def test_a_file_that_is_not_there_is_an_error(drop: Drop) -> None:
    drop.scripts = {"train.py": "import chainer, imp\nimp.load_source('x', 'nothing.py')"}
    ended = drop.launch("python", "train.py")
    assert "FileNotFoundError" in str(ended.manifest["reason"])

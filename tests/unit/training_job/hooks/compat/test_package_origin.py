"""Which installed packages get what the libraries have lost: their own files decide."""

from pathlib import Path

import pytest

from training_job.hooks.compat import package_origin

OLD = """Name: old-gym
Requires-Python: >=3.7
Classifier: Programming Language :: Python :: 3.7
Classifier: Programming Language :: Python :: 3.10
"""


class Site:
    """A folder of installed packages."""

    def __init__(self, root: Path) -> None:
        self.root = root / "site-packages"

    def install(self, name: str, sources: dict[str, str], metadata: str = "", distribution: str = "") -> None:
        for path, text in sources.items():
            file = self.root / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        if metadata:
            folder = self.root / f"{distribution or name}-1.0.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}\nWe import chainer.\n")
            (folder / "RECORD").write_text("".join(f"{name}/{path},,\n" for path in sources))

    def is_old(self, module: str, path: str) -> bool:
        return package_origin.is_of_chainers_time(module, str(self.root / path))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "import chainer",
        "    from chainer import links as L",
        "import os, chainer.functions as F",
        "try:\n    import numpy as np, chainer\nexcept ImportError: pass",
        "from chainermn.extensions import x",
    ],
)
def test_a_package_that_imports_chainer_anywhere(site: Site, line: str) -> None:
    site.install("vision", {"__init__.py": "", "a/__init__.py": "", "a/deep.py": line, "b.py": "x = 1"})
    assert site.is_old("vision.b", "vision/b.py")
    assert site.is_old("vision.a", "vision/a/__init__.py")


@pytest.mark.parametrize(
    "line", ["import chainerlike", "# import chainer", "x = 'import chainer'", "from .chainer import x"]
)
def test_a_package_that_only_looks_like_it(site: Site, line: str) -> None:
    site.install("other", {"__init__.py": line})
    assert not site.is_old("other", "other/__init__.py")


def test_a_single_file(site: Site) -> None:
    site.root.mkdir()
    (site.root / "single.py").write_text("import chainer")
    (site.root / "alone.py").write_text("import numpy")
    assert site.is_old("single", "single.py")
    assert not site.is_old("alone", "alone.py")


def test_a_part_of_a_namespace_package_speaks_for_itself(site: Site) -> None:
    site.install("space", {"one/__init__.py": "import chainer", "two/__init__.py": "", "two/x.py": ""})
    assert site.is_old("space.one", "space/one/__init__.py")
    assert not site.is_old("space.two.x", "space/two/x.py")


def test_a_package_that_requires_chainer(site: Site) -> None:
    modern = "Classifier: Programming Language :: Python :: 3.13\n"
    site.install("needs", {"__init__.py": ""}, f"{modern}Requires-Dist: chainer >=2.0\n")
    site.install("similar", {"__init__.py": ""}, f"{modern}Requires-Dist: chainer-like\n")
    assert site.is_old("needs", "needs/__init__.py")
    assert not site.is_old("similar", "similar/__init__.py")


def test_a_release_of_the_time_by_its_metadata(site: Site) -> None:
    site.install("gym", {"__init__.py": "import numpy"}, OLD, distribution="old_gym")
    assert site.is_old("gym", "gym/__init__.py")


@pytest.mark.parametrize(
    "newer",
    ["Classifier: Programming Language :: Python :: 3.12\n", "Requires-Python: >=3.10\n"],
    ids=["python", "needs"],
)
def test_a_newer_release(site: Site, newer: str) -> None:
    site.install("gym", {"__init__.py": "import numpy"}, OLD + newer)
    assert not site.is_old("gym", "gym/__init__.py")


def test_a_maintained_package_with_an_optional_part_for_chainer(site: Site) -> None:
    modern = "Classifier: Programming Language :: Python :: 3.13\n"
    site.install("tuner", {"__init__.py": "", "chainer_part.py": "import chainer"}, modern)
    assert not site.is_old("tuner", "tuner/__init__.py")


def test_sources_are_read_once(site: Site) -> None:
    site.install("vision", {"__init__.py": "import chainer"})
    assert site.is_old("vision", "vision/__init__.py")
    (site.root / "vision/__init__.py").write_text("import numpy")
    assert site.is_old("vision", "vision/__init__.py")


def test_python_itself_is_never_asked() -> None:
    assert not package_origin.is_of_chainers_time("json.decoder", "/lib/json/decoder.py")
    assert not package_origin.is_of_chainers_time("training_job.launch", "/kedja/training_job/launch.py")


def test_a_script_of_such_a_package_alone_makes_a_chainer_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("speech", {"__init__.py": "", "nets.py": "import chainer"})
    monkeypatch.syspath_prepend(str(site.root))
    assert package_origin.is_built_on_chainer("speech")
    assert not package_origin.is_built_on_chainer("nothing_of_that_name")
    assert not package_origin.is_built_on_chainer("sys")

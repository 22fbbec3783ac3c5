"""Packages from a local index, installed into a job's venv."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training_job.requirements import index as packages
from training_job.errors import PackagesError
from training_job.requirements import venv
from training_job.requirements.job_packages import JobPackages
from training_job.requirements.outcome import Outcome

Prepare = Callable[..., Outcome]
Imported = Callable[[str], str]


def own(top: Path) -> dict[str, str]:
    return venv.versions(JobPackages(top / ".kedja").own)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    "text",
    [
        "# nothing\nnumpy\n",
        "numpy==1.11.1\nChainer==4.3.1\nscipy\nmpi4py>=99\n",
        "cupy==4.3.0\ncupy-cuda80\ncupy-cuda12x\nchainermn\n",
        "typing==3.6\nenum34\npathlib\ndataclasses\nfutures\nargparse\nconfigparser\npkg-resources==0.0.0\n",
        "PIL\npillow-simd\nPillow==2.0\n",
        "chainer @ git+https://example.org/chainer.git@v5\ngit+https://example.org/numpy.git#egg=numpy\n",
        "no-such-package==1; python_version < '3'\nsix\n",
        "numpy @ file:///tmp/build/80754af9/numpy_1\n",
    ],
)
def test_what_the_environment_has_is_not_installed(top: Path, prepare: Prepare, text: str) -> None:
    outcome = prepare(text)
    assert (outcome.installed, outcome.failures) == ({}, [])
    assert not JobPackages(top / ".kedja").commands()


def test_the_extras_of_what_the_environment_has_are_installed(index: Path, prepare: Prepare) -> None:
    packages.wheel(index, "PySocks", "1.7.1")
    assert prepare("requests[socks]==1.0\n").installed == {"pysocks": "1.7.1"}


def test_commands_of_packages_are_on_the_path(
    index: Path, top: Path, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEDJA_PACKAGES_CACHE", str(tmp_path / "cache"))
    entry_points = "[console_scripts]\nkedja-says = kedja_tool:main\n"
    modules = {
        "kedja_tool.py": "import numpy\ndef main():\n    print(numpy.__version__)\n",
        "kedja_tool-1.0.dist-info/entry_points.txt": entry_points,
    }
    packages.wheel(index, "kedja_tool", modules=modules)
    prepare("kedja-tool\n")
    commands = os.pathsep.join(map(str, JobPackages(top / ".kedja").commands()))
    found = shutil.which("kedja-says", path=commands)
    assert found is not None
    assert subprocess.run([found], capture_output=True, text=True, check=True).stdout.strip() == np.__version__


@pytest.mark.usefixtures("index")
def test_the_environments_versions_are_listed(prepare: Prepare) -> None:
    (note,) = prepare("numpy==1.11.1\nsix\ntyping==3.6\nnumpy==1.12\n").notes()
    assert note == (
        f"requirements.txt: numpy==1.11.1 is the environment's numpy {np.__version__}; typing==3.6 is a part of Python"
    )


def test_what_is_missing_is_installed_beside_the_environment(
    index: Path, top: Path, prepare: Prepare, imported: Imported
) -> None:
    packages.wheel(index, "kedja_helper", requires=["numpy==1.0", "chainer<2", "kedja_more", "enum34"])
    packages.wheel(index, "kedja_more")
    outcome = prepare("kedja-helper\n")
    assert outcome.notes() == []
    assert outcome.installed == own(top) == {"kedja-helper": "1.0", "kedja-more": "1.0"}
    code = "import sys, numpy, kedja_helper, kedja_more; print(numpy.__version__, kedja_more.VERSION, sys.prefix)"
    assert imported(code) == f"{np.__version__} 1.0 {top / '.kedja/venv'}"


def test_no_package_takes_the_place_of_pythons_own(index: Path, prepare: Prepare, imported: Imported) -> None:
    packages.wheel(index, "kedja_helper", modules={"kedja_helper.py": "", "typing.py": "raise SystemError"})
    prepare("kedja-helper")
    assert imported("import kedja_helper, typing; print(typing.Any)") == "typing.Any"


@pytest.mark.parametrize(
    ("asked", "became"),
    [
        ("kedja-old==1.2", "2.0"),
        ("kedja-old==2.0", "2.0"),
        ("kedja-old~=1.2", "2.0"),
        ("kedja-old==1.2.*", "2.0"),
        ("kedja-old==1.2+cu80", "2.0"),
        ("kedja-old==2.5", "3.0"),
        ("kedja-old<2", "2.0"),
        ("kedja-old<3", "2.0"),
        ("kedja-old>=1", "3.0"),
        ("kedja-old", "3.0"),
        ("kedja-old==9", "3.0"),
    ],
)
def test_a_pin_becomes_the_nearest_version_with_a_build(index: Path, prepare: Prepare, asked: str, became: str) -> None:
    packages.sdist(index, "kedja_old", "1.2", check=packages.NEVER)
    packages.wheel(index, "kedja_old", "2.0")
    packages.wheel(index, "kedja_old", "3.0")
    outcome = prepare(asked)
    assert outcome.installed == {"kedja-old": became}
    is_asked = asked in ("kedja-old==2.0", "kedja-old<3", "kedja-old>=1", "kedja-old")
    assert outcome.notes() == ([] if is_asked else [f"requirements.txt: {asked} became kedja-old {became}"])


@pytest.mark.parametrize(
    ("check", "remarks"),
    [
        (packages.ALWAYS, []),
        (packages.WITH_THE_ENVIRONMENT, []),
        (
            packages.WITHOUT_EXTENSIONS,
            ["requirements.txt: kedja-source was built without its extensions in C: RuntimeError: no longintrepr.h"],
        ),
    ],
)
@pytest.mark.parametrize("asked", ["kedja-source==1.0", "kedja-source"])
def test_a_source_is_built(index: Path, prepare: Prepare, check: str, remarks: list[str], asked: str) -> None:
    packages.sdist(index, "kedja_source", check=check, requires=["kedja_more"])
    packages.wheel(index, "kedja_more")
    packages.wheel(index, "kedja_source", "0.4")  # years older, which is why its source is newer
    outcome = prepare(asked)
    assert outcome.installed == {"kedja-source": "1.0", "kedja-more": "1.0"}
    assert outcome.notes() == remarks


def test_a_line_that_cannot_be_installed_does_not_keep_others(index: Path, prepare: Prepare) -> None:
    packages.wheel(index, "kedja_helper")
    packages.sdist(index, "kedja_source", check=packages.NEVER)
    outcome = prepare("no-such-package==3\nkedja-source==1.0\nkedja-helper\nwhat is this\n")
    assert outcome.installed == {"kedja-helper": "1.0"}
    shown = {it.asked: it.reason for it in outcome.failures}
    assert "no-such-package" in shown["no-such-package==3"]
    assert shown["kedja-source==1.0"] == "RuntimeError: no longintrepr.h"
    assert shown["what is this"] == "it names no package, path or address"
    missing = outcome.missing("no_such_package.deep")
    assert missing is not None
    assert missing.asked == "no-such-package==3"
    assert outcome.missing("kedja_helper") is None


def test_lines_that_contradict_each_other_are_installed_one_by_one(index: Path, prepare: Prepare) -> None:
    packages.wheel(index, "kedja_a", requires=["kedja_b<2"])
    packages.wheel(index, "kedja_b", "1.0")
    packages.wheel(index, "kedja_b", "2.0")
    outcome = prepare("kedja-a\nkedja-b==2.0\n")
    assert (outcome.installed, outcome.failures) == ({"kedja-a": "1.0", "kedja-b": "2.0"}, [])


def test_a_package_whose_own_needs_are_gone_is_installed_without(index: Path, prepare: Prepare) -> None:
    packages.wheel(index, "kedja_a", requires=["no-such-package"])
    outcome = prepare("kedja-a\n")
    assert outcome.installed == {"kedja-a": "1.0"}
    (note,) = outcome.notes()
    assert note.startswith("requirements.txt: kedja-a was installed without the packages that it needs: ")


def test_dropped_packages_and_projects_are_installed(
    index: Path, top: Path, prepare: Prepare, imported: Imported
) -> None:
    packages.wheel(index, "kedja_more", "3.0")
    (top / "wheels").mkdir()
    packages.wheel(top / "wheels", "kedja_found")
    packages.wheel(top, "kedja_wheel")
    packages.project(top / "lib", "kedja_project", requires=["kedja_more==2"])
    (top / "lib/setup.py").write_text("from setuptools import setup\nsetup(install_requires=['kedja_more==2'])\n")
    outcome = prepare("-f wheels\nkedja-found\n./kedja_wheel-1.0-py3-none-any.whl\n-e ./lib\n")
    assert imported("import kedja_found, kedja_wheel, kedja_project; print(1)") == "1"
    assert outcome.notes() == ["setup.py: kedja_more==2 became kedja-more 3.0"]


def test_hashes_are_checked_as_long_as_the_version_is_asked_for(index: Path, prepare: Prepare) -> None:
    packages.wheel(index, "kedja_helper", "2.0")
    wrong = f"--hash=sha256:{'0' * 64}"
    outcome = prepare(f"kedja-helper==2.0 \\\n    {wrong}\n")
    assert (outcome.installed, [it.asked for it in outcome.failures]) == ({}, ["kedja-helper==2.0"])
    assert prepare(f"kedja-helper==1.0 {wrong}\n").notes() == [
        "requirements.txt: kedja-helper==1.0 became kedja-helper 2.0 (without its hash)"
    ]


@pytest.mark.usefixtures("index")
def test_a_list_that_is_named_and_missing(prepare: Prepare) -> None:
    with pytest.raises(PackagesError, match=r"deps/gpu.txt, which job.yaml names as kedja.requirements, is not in the"):
        prepare(named="deps/gpu.txt")

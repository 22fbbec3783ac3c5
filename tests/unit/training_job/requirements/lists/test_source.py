"""Which file of a drop says what to install, and how setup.py and conda's files are read."""

from pathlib import Path, PurePosixPath

import pytest

from training_job.errors import PackagesError
from training_job.requirements.lists import finder, source
from training_job.requirements.lists.source import Source


def find(top: Path, files: dict[str, str], script: str = "train.py", named: str | None = None) -> Source | None:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return source.find(top, PurePosixPath(script), None if named is None else PurePosixPath(named))


def asked(top: Path, name: str, text: str) -> list[str]:
    found = find(top, {name: text})
    return [] if found is None else [it.text for it in found.lines.lines]


SETUP = "from setuptools import setup\nsetup(install_requires=['of-setup'])\n"
CONDA = "dependencies: [of-conda]\n"


@pytest.mark.parametrize(
    ("files", "script", "named", "used"),
    [
        ({"requirements.txt": "a"}, "train.py", None, "requirements.txt"),
        ({"requirements.txt": "a", "src/requirements.txt": "b"}, "src/train.py", None, "src/requirements.txt"),
        ({"requirements.txt": "a", "src/requirements.txt": "# none"}, "src/train.py", None, "requirements.txt"),
        ({"requirements.txt": "a", "lib/requirements.txt": "b"}, "src/train.py", None, "requirements.txt"),
        ({"requirements.txt": "a", "deps/gpu.txt": "b"}, "train.py", "deps/gpu.txt", "deps/gpu.txt"),
        ({"requirements.txt": "a", "environment.yml": CONDA}, "train.py", "environment.yml", "environment.yml"),
        ({"requirements.txt": "a", "src/setup.py": SETUP}, "src/train.py", None, "requirements.txt"),
        ({"setup.py": SETUP, "environment.yml": CONDA}, "src/train.py", None, "setup.py"),
        ({"setup.py": "import setuptools\nsetuptools.setup()", "conda.yaml": CONDA}, "train.py", None, "conda.yaml"),
        ({"setup.py": "print 'two'", "environment.yml": CONDA}, "train.py", None, "environment.yml"),
        ({"environment.yml": "name: x", "requirements.txt": "a"}, "../../train.py", None, "requirements.txt"),
        ({"environment.yml": "name: x"}, "train.py", None, None),
        ({}, "train.py", None, None),
    ],
)
def test_the_first_file_that_asks_for_anything_is_used(
    tmp_path: Path, files: dict[str, str], script: str, named: str | None, used: str | None
) -> None:
    found = find(tmp_path, files, script, named)
    assert (found.file if found else None) == used


def test_a_named_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PackagesError, match=r"setup\.py is not Python 3, so what it requires is unknown"):
        find(tmp_path, {"setup.py": "print 'two'"}, named="setup.py")
    with pytest.raises(PackagesError, match=r"environment\.yml is no YAML"):
        find(tmp_path, {"environment.yml": "a: [b"}, named="environment.yml")
    with pytest.raises(PackagesError, match=r"environment\.yml has no list of `dependencies`"):
        find(tmp_path, {"environment.yml": "name: x"}, named="environment.yml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("setup(install_requires=['a==1', 'b'])", ["a==1", "b"]),
        ("setup(requires=('a (>=1)',), install_requires='b\\n# c\\nd')", ["a (>=1)", "b", "d"]),
        ("common = ['a']\nmore = common + ['b']\nsetup(install_requires=[*more, 'c'])", ["a", "b", "c"]),
        ("def main():\n    needs = ['a']\n    setuptools.setup(name='x', install_requires=needs)", ["a"]),
        ("setup(install_requires=open('deps').read().split())", []),
        ("setup(install_requires=['a', read('x')], **options)", ["a"]),
        ("loop = loop + ['a']\nsetup(install_requires=loop)", ["a"]),
        ("raise SystemExit('ran')", []),
    ],
)
def test_a_setup_script_is_read_and_not_run(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert asked(tmp_path, "setup.py", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[numpy=1.11.1=py35_0, scipy=0.19, 'h5py==2.7', 'tqdm>=4', six]",
         ["numpy==1.11.1", "scipy==0.19", "h5py==2.7", "tqdm>=4", "six"]),
        ("[python=3.6, pip, openssl=1.0, libpng, _libgcc_mutex=0.1, cudatoolkit=8.0, mkl]", []),
        ("[conda-forge::pytorch=1.0, opencv=3.1, pytables]", ["torch==1.0", "opencv-python-headless==3.1", "tables"]),
        ("[numpy, {pip: ['a==1  # old', -e ., --pre, 'git+https://example.org/b']}]",
         ["numpy", "a==1", ".", "git+https://example.org/b"]),
        ("[{pip: [-r more.txt]}]", ["of-more"]),
        ("[{pip: null}, 3, numpy 1.11]", ["numpy==1.11"]),
    ],
)  # fmt: skip
def test_a_conda_file_is_read_under_the_names_of_pypi(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "more.txt").write_text("of-more\n")
    assert asked(tmp_path, "environment.yml", f"name: x\ndependencies: {text}\n") == expected


@pytest.mark.parametrize(
    ("command", "is_shell", "script"),
    [
        (("python", "src/train.py", "--epochs", "1"), False, "src/train.py"),
        (("python", "-m", "training_job.train"), False, None),
        (("python", "-m", "training_job.notebook", "src/train.ipynb"), False, "src/train.ipynb"),
        (("cd src && python 'my train.py' --model other.py",), True, "my train.py"),
        (("python it's.py",), True, "it's.py"),
    ],
)
def test_the_entry_script_is_the_first_that_the_command_names(
    command: tuple[str, ...], *, is_shell: bool, script: str | None
) -> None:
    found = finder.entry_script(command, is_shell=is_shell)
    assert (None if found is None else str(found)) == script

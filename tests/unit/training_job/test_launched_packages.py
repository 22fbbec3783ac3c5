"""Jobs whose drops ask for packages, run by `launch`."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training_job.drops import ROOT, Drop, entry, manifest_of
from tests.unit.training_job.requirements import index as packages

UV = os.environ.get("KEDJA_UV", str(ROOT / ".venv-tools/bin/uv"))


@pytest.fixture
def index(tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(index: Path, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a job that finds packages in the folder `index` alone."""
    cache = str(tmp_path / "uv")
    return {"KEDJA_UV": UV, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index), "UV_CACHE_DIR": cache}


def test_a_script_runs_in_a_venv_with_its_packages(drop: Drop, index: Path, settings: dict[str, str]) -> None:
    packages.wheel(index, "kedja_helper", "2.0")
    drop.scripts = {
        "src/train.py": """
            import shutil, sys, chainer, kedja_helper, numpy
            print(kedja_helper.VERSION, numpy.__version__, sys.prefix)
            print(shutil.which("python") == sys.executable)
            """,
        "src/requirements.txt": "kedja-helper==1.0\nnumpy==1.11.1\n",
    }
    ended = drop.launch("python", "src/train.py", **settings)
    assert ended.output.splitlines() == [f"2.0 {np.__version__} {ended.folder / '.kedja/venv'}", "True"]
    (note,) = ended.manifest["notes"]
    assert note == (
        f"src/requirements.txt: numpy==1.11.1 is the environment's numpy {np.__version__}; "
        "kedja-helper==1.0 became kedja-helper 2.0"
    )


def test_a_release_has_all_that_is_needed_to_build_a_source(
    drop: Drop, index: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    code = tmp_path / "code"
    shutil.copytree(ROOT / "training_job", code / "training_job", ignore=shutil.ignore_patterns("environment"))
    packages.sdist(index, "kedja_source", check=packages.WITHOUT_EXTENSIONS)
    drop.scripts = {
        "train.py": "import kedja_source; print(kedja_source.VERSION)",
        "requirements.txt": "kedja-source\n",
    }
    ended = drop.launch("python", "train.py", **settings | {"PYTHONPATH": str(code)})
    assert ended.output.strip() == "1.0"


def test_requirements_that_are_there_need_no_installer(drop: Drop) -> None:
    drop.scripts = {"train.py": "print('ran')", "requirements.txt": "numpy\nchainer==7.8.1\n"}
    assert drop.launch("python", "train.py", PATH="", KEDJA_UV="/nowhere").output.strip() == "ran"
    assert not (drop.root / "job/.kedja/venv").exists()


def test_a_line_that_cannot_be_installed_fails_the_job_that_imports_it(drop: Drop, settings: dict[str, str]) -> None:
    drop.scripts = {
        "train.py": "print('ran')\nimport no_such.deep",
        "requirements.txt": "numpy\nno-such==1\nnever-used==2\n",
    }
    ended = drop.launch("python", "train.py", **settings)
    assert (ended.code, ended.output.strip()) == (1, "ran")
    assert ended.manifest["reason"].startswith(
        "the script ended with ModuleNotFoundError: No module named 'no_such': requirements.txt asks for no-such==1, "
        "which could not be installed: "
    )
    assert [note.partition(" could")[0] for note in ended.manifest["notes"]] == [
        "requirements.txt: no-such==1",
        "requirements.txt: never-used==2",
    ]


def test_a_line_that_cannot_be_installed_fails_no_other_job(drop: Drop, settings: dict[str, str]) -> None:
    drop.scripts = {"train.py": "print('ran')", "requirements.txt": "no-such==1\n"}
    ended = drop.launch("python", "train.py", **settings)
    assert (ended.code, ended.output.strip(), ended.manifest["result"]) == (0, "ran", "completed")


def test_another_missing_module_is_not_blamed_on_a_line(drop: Drop, settings: dict[str, str]) -> None:
    drop.scripts = {"train.py": "import another", "requirements.txt": "no-such==1\n"}
    reason = drop.launch("python", "train.py", **settings).manifest["reason"]
    assert reason == "the script ended with ModuleNotFoundError: No module named 'another'"


def test_a_second_job_with_the_same_lines_installs_nothing(
    drop: Drop, index: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    packages.wheel(index, "kedja_helper")
    drop.scripts = {
        "train.py": "import kedja_helper; print(kedja_helper.VERSION)",
        "requirements.txt": "kedja-helper==0.1\n",
    }
    first = drop.launch("python", "train.py", KEDJA_PACKAGES_CACHE=str(tmp_path / "cache"), **settings)
    second = Drop(tmp_path / "second", scripts=drop.scripts)
    second.root.mkdir()
    nothing = {"KEDJA_UV": "/nowhere", "PATH": ""}
    ended = second.launch("python", "train.py", KEDJA_PACKAGES_CACHE=str(tmp_path / "cache"), **settings | nothing)
    assert first.output == ended.output == "1.0\n"
    assert first.manifest["notes"] == ended.manifest["notes"]


def test_the_list_that_job_yaml_names_is_used(drop: Drop, index: Path, settings: dict[str, str]) -> None:
    packages.wheel(index, "kedja_helper")
    drop.scripts = {"train.py": "import kedja_helper", "gpu.txt": "kedja-helper\n", "requirements.txt": "no-such\n"}
    drop.write()
    command = drop.command("python", "train.py")
    command[5:5] = ["--requirements", "gpu.txt"]
    done = subprocess.run(command, cwd=drop.root, env=drop.environment(**settings), capture_output=True, check=False)
    assert (done.returncode, manifest_of(drop.root)["notes"]) == (0, [])


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("gpu.txt", 1, "gpu.txt, which job.yaml names as kedja.requirements, is not in the drop"),
        ("../gpu.txt", 2, "--requirements ../gpu.txt is no relative path inside the drop"),
    ],
)
def test_a_named_list_that_is_not_in_the_drop(drop: Drop, name: str, code: int, message: str) -> None:
    drop.scripts = {"train.py": "print('ran')"}
    drop.write()
    command = drop.command("python", "train.py")
    command[5:5] = ["--requirements", name]
    done = subprocess.run(command, cwd=drop.root, env=drop.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_requirements_that_are_no_text(drop: Drop) -> None:
    drop.scripts = {"train.py": "print('ran')", "requirements.txt": "numpy\n"}
    drop.write()
    content = b"# f\xfcr alle\n"
    (drop.snapshot / "scripts/requirements.txt").write_bytes(content)
    document = json.loads((drop.snapshot / "manifest.json").read_text())
    document["scripts"][1] = entry("requirements.txt", content)
    (drop.snapshot / "manifest.json").write_text(json.dumps(document))
    done = subprocess.run(
        drop.command("python", "train.py"), cwd=drop.root, env=drop.environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert manifest_of(drop.root)["reason"].startswith("requirements.txt is no UTF-8 text at byte 4 (0xfc)")


def test_a_job_that_starts_again_in_its_folder_installs_anew(drop: Drop, index: Path, settings: dict[str, str]) -> None:
    packages.wheel(index, "kedja_helper")
    drop.scripts = {"train.py": "import kedja_helper", "requirements.txt": "kedja-helper\n"}
    assert drop.launch("python", "train.py", **settings).code == 0
    (drop.root / "job/.kedja/venv/bin/python").unlink()
    assert drop.launch("python", "train.py", **settings).code == 0

"""The two sides of the comparison: Chainer as it last worked unmended, and Chainer on today's Python with Kedja."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_COMPAT = (ROOT / "training_job/hooks/compat", ROOT / "training_job/hooks/import_hook.py")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A Python with its packages, with or without the compatibility layer."""

    name: str
    python: str
    """The version of Python, such as `3.13`."""
    is_mended: bool

    @property
    def requirements(self) -> Path:
        """The packages of this side."""
        return HERE / f"{self.name}.txt"

    def environment(self, source: Path, results: Path, datasets: Path) -> dict[str, str]:
        """Return the environment variables of a test run. The mended side gets what `launch` gives a script."""
        paths = [str(HERE)]
        if self.is_mended:
            paths += [str(ROOT / "training_job/hooks/compat/startup"), str(ROOT)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("KEDJA_", "MLFLOW_", "PYTHON"))}
        return kept | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KEDJA_JOB_FOLDER": str(source),
            "KEDJA_CHAINER_SUITE_RESULTS": str(results),
            "CHAINER_DATASET_ROOT": str(datasets),
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
        }


REFERENCE = Side(name="reference", python="3.11", is_mended=False)
MENDED = Side(name="mended", python="3.13", is_mended=True)
SIDES = (REFERENCE, MENDED)


def install(side: Side, folder: Path, uv: str) -> Path:
    """Make the side's virtual environment if its requirements changed. Returns its Python."""
    return environment(side.python, side.requirements.read_text().splitlines(), folder, uv)


def environment(version: str, requirements: Iterable[str], folder: Path, uv: str) -> Path:
    """Make a virtual environment with packages if they are not those that it has. Returns its Python."""
    python = folder / "bin/python"
    mark = folder / "requirements.txt"
    text = "\n".join(requirements) + "\n"
    if mark.is_file() and mark.read_text() == text:
        return python
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", _interpreter(version), str(folder)], check=True)
    constraints = ROOT / "training_job/environment/build-constraints.txt"
    arguments = ["--python", str(python), "--build-constraints", str(constraints), "-r", "-"]
    subprocess.run([uv, "pip", "install", "--quiet", *arguments], input=text, text=True, check=True)
    mark.write_text(text)
    return python


def _interpreter(version: str) -> str:
    """Return where that Python is: on the path, with pyenv, or (its version alone) where uv finds or fetches it."""
    found = shutil.which(f"python{version}")
    if found is not None:
        works = subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0
        if works:  # pyenv's shims are on the path for versions that are not chosen, too
            return found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    return str(installed[-1]) if installed else version


def fingerprint(side: Side) -> str:
    """Return what a side's results depend on: its packages, and on the mended side the compatibility layer."""
    digest = hashlib.sha256(side.requirements.read_bytes())
    files = [HERE / "suite_plugin.py", HERE / "pytest.ini"]
    if side.is_mended:
        files += [file for path in _COMPAT for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

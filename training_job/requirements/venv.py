"""Virtual environments that see the packages of the environment that they are made in.

A venv made inside a venv sees the base Python's packages at most, so a `.pth` file adds the folders. `site.addsitedir`
processes the `.pth` files in them too (https://docs.python.org/3/library/site.html).
"""

import importlib.metadata
import shutil
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

_SEES = "kedja-environment.pth"


def create(folder: Path, sees: Sequence[Path]) -> None:
    """Create a venv in `folder`, in place of what is there, that sees the packages in the folders `sees`, in order."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    with (folder / "pyvenv.cfg").open("a", encoding="utf-8") as config:
        # uv then writes commands that still work when the folder has been renamed.
        config.write("relocatable = true\n")
    lines = "".join(f"import site; site.addsitedir({str(path)!r})\n" for path in sees)
    (packages(folder) / _SEES).write_text(lines, encoding="utf-8")


def python(folder: Path) -> Path:
    """Return the path of a venv's Python."""
    return folder / "bin" / "python"


def packages(folder: Path) -> Path:
    """Return the folder of a venv's own packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


def versions(folder: Path) -> dict[str, str]:
    """Return the versions of a venv's own packages, by canonical name."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=[str(packages(folder))]):
        name: str | None = distribution.metadata["Name"]
        if name is not None:
            found[canonicalize_name(name)] = distribution.version
    return found

"""An index of packages in a folder: wheels, and sources with a build backend that needs no other package."""

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_BACKEND = """
import os, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.mkdir(f"{folder}/DIST.dist-info")
    for name, text in FILES.items():
        if "dist-info" in name:
            open(f"{folder}/{name}", "w").write(text)
    return "DIST.dist-info"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    CHECK
    name = "DIST-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        for path, text in FILES.items():
            archive.writestr(path, text)
    return name

def build_editable(folder, config_settings=None, metadata_directory=None):
    return build_wheel(folder, config_settings, metadata_directory)
"""
ALWAYS = "pass"
NEVER = "raise RuntimeError('no longintrepr.h')"
WITHOUT_EXTENSIONS = f"if 'KEDJA_BUILD_WITHOUT_EXTENSIONS' not in os.environ: {NEVER}"
WITH_THE_ENVIRONMENT = "import numpy"


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    modules: Mapping[str, str] | None = None,
) -> Path:
    """Write a wheel with a module of the same name, which has the version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in _files(name, version, requires, modules).items():
            archive.writestr(member, text)
    return path


def project(
    folder: Path, name: str, version: str = "1.0", *, check: str = ALWAYS, requires: Sequence[str] = ()
) -> None:
    """Write the folder of a project; `check` is run before it is built."""
    backend = _BACKEND.replace("DIST", f"{name}-{version}").replace("CHECK", check)
    backend = backend.replace("FILES", repr(_files(name, version, requires, None)))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "backend.py").write_text(backend)
    build = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (folder / "pyproject.toml").write_text(
        f'{build}[project]\nname = "{name}"\nversion = "{version}"\ndynamic = ["dependencies"]\n'
    )


def sdist(folder: Path, name: str, version: str = "1.0", *, check: str = ALWAYS, requires: Sequence[str] = ()) -> None:
    """Write a source distribution."""
    source = folder / f".{name}-{version}"
    project(source, name, version, check=check, requires=requires)
    (source / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as archive:
        for path in source.iterdir():
            content = path.read_bytes()
            member = tarfile.TarInfo(f"{name}-{version}/{path.name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _files(name: str, version: str, requires: Sequence[str], modules: Mapping[str, str] | None) -> dict[str, str]:
    dist = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {it}\n" for it in requires)
    members = {f"{name}.py": f"VERSION = {version!r}\n"} if modules is None else dict(modules)
    return members | {f"{dist}/METADATA": metadata, f"{dist}/WHEEL": _WHEEL, f"{dist}/RECORD": ""}

"""Reads what a conda environment file asks for: its `pip:` part, and conda's packages under their names on PyPI.

Format: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training_job.errors import PackagesError
from training_job.requirements import known_names
from training_job.requirements.lists import line, text

_PACKAGE = re.compile(r"(?:[\w./-]+::)?([A-Za-z0-9_][\w.-]*)\s*(.*)")


def read(path: Path, top: Path) -> line.Lines:
    """Return the lines of a conda environment file.

    Raises:
        PackagesError: The file is no YAML text, has no list of dependencies, or this environment cannot read YAML.
    """
    file = path.relative_to(top).as_posix()
    found = line.Lines()
    for item in _dependencies(path, file):
        if isinstance(item, str):
            asked = _as_on_pypi(item)
            if asked is not None:
                found.lines.append(line.parse(asked, file, path.parent))
        elif isinstance(item, dict):
            for asked in _texts(item.get("pip")):
                if not asked.startswith("-") or asked.startswith(("-e ", "--editable")):
                    found.lines.append(line.parse(asked, file, path.parent))
                else:
                    _add_option(asked, path, top, found)
    return found


def _dependencies(path: Path, file: str) -> list[object]:
    try:
        import yaml  # noqa: PLC0415 - an environment of the user's own may lack it
    except ModuleNotFoundError:
        raise PackagesError(f"{file} cannot be read, as this environment has no PyYAML: add it") from None
    try:
        document = yaml.safe_load(text.read(path))
    except yaml.YAMLError as error:
        raise PackagesError(f"{file} is no YAML: {' '.join(str(error).split())[:200]}") from error
    listed = document.get("dependencies") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise PackagesError(f"{file} has no list of `dependencies`")
    return listed


def _texts(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        asked = str(item).partition(" #")[0].strip()
        if asked:
            yield asked


def _add_option(asked: str, path: Path, top: Path, found: line.Lines) -> None:
    """Add the lines of a file that `-r` names; other options are ignored."""
    included = re.fullmatch(r"(?:-r|--requirement)[\s=]*(\S+)", asked)
    if included and (path.parent / included[1]).is_file():
        more = line.read(path.parent / included[1], top)
        found.lines += more.lines
        found.options += more.options
    else:
        found.ignored.append(f"{path.name}: {asked.split(maxsplit=1)[0]}")


def _as_on_pypi(asked: str) -> str | None:
    """Return a conda package as a requirement of PyPI, such as `numpy==1.11` for `numpy=1.11=py35_0`, or None."""
    match = _PACKAGE.fullmatch(asked.partition(" #")[0].strip())
    if match is None:
        return None
    name = known_names.on_pypi(match[1])
    if name is None:
        return None
    rest = match[2].strip()
    if re.match(r"=(?!=)", rest):
        version = rest[1:].split("=")[0].strip()
        return f"{name}=={version}" if version else name
    # `1.2 py35_0`, with spaces in place of the equals signs, or a constraint such as `>=1.2,<2`.
    return f"{name}=={rest.split()[0]}" if re.match(r"\d", rest) else f"{name}{rest.split('|')[0]}"

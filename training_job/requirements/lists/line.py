"""The lines of a requirements file, and of the files that it includes.

Format: https://pip.pypa.io/en/stable/reference/requirements-file-format/. What `conda list --export` and conda's pip
write under the same name is read too: `numpy=1.11.1=py35_0`, and `numpy @ file:///tmp/build/…`.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from training_job.errors import PackagesError
from training_job.requirements.lists import text

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ](\S+)")
_CONDA = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=([^=<>!~\s]+)(?:=\S*)?")
_EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
_INDEX_OPTIONS = {
    "-i": "--index-url", "--index-url": "--index-url", "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url", "-f": "--find-links", "--find-links": "--find-links",
}  # fmt: skip
_MAX_INCLUDED = 50
_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+(?=@)")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line that asks for a package.

    `file` is its file, as messages name it. `requirement` is None for a path, an address without a name, or a line
    that cannot be parsed. `path` is the dropped file or folder that the line names.
    """

    text: str
    file: str
    requirement: Requirement | None = None
    hashes: tuple[str, ...] = ()
    path: Path | None = None
    is_editable: bool = False

    @property
    def shown(self) -> str:
        """The line without credentials in an address."""
        return redacted(self.text)

    @property
    def is_package(self) -> bool:
        """Whether the line is a name, possibly with versions, to be found in an index."""
        return self.requirement is not None and self.requirement.url is None and self.path is None

    @property
    def is_address(self) -> bool:
        """Whether the line is the address of a package or a repository."""
        return self.path is None and (self.requirement.url is not None if self.requirement else "://" in self.text)


@dataclass
class Lines:
    """The lines of a source, in order, and the options that say where packages are found."""

    lines: list[Line] = field(default_factory=list)
    options: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def redacted(message: str) -> str:
    """Return a message without the credentials of the addresses in it."""
    return _CREDENTIALS.sub("…", message)


def read(path: Path, top: Path) -> Lines:
    """Return the lines of a requirements file in the folder `top`, with those of the files that it includes.

    Raises:
        PackagesError: A file is missing or not text, or files include each other without an end.
    """
    found = Lines()
    _read(path, top, found, depth=0)
    return found


def parse(line: str, file: str, folder: Path) -> Line:
    """Return a line that asks for a package, without its comment. Paths in it are relative to `folder`."""
    hashes = tuple(_HASH.findall(line))
    asked = _HASH.sub("", line).strip()
    editable = re.match(r"(?:-e|--editable)[\s=]+", asked)
    if editable:
        asked = asked[editable.end() :].strip()
    path = _local(asked, folder)
    requirement = None if path is not None else _requirement(asked)
    if requirement is not None and requirement.url is not None and requirement.url.startswith("file:"):
        target = Path(unquote(urlsplit(requirement.url).path))
        # Conda's pip writes the folder in which a package was built on the author's machine.
        requirement, path = (requirement, target) if target.exists() else (Requirement(requirement.name), None)
    return Line(
        text=asked, file=file, requirement=requirement, hashes=hashes, path=path, is_editable=editable is not None
    )


def _read(path: Path, top: Path, found: Lines, *, depth: int) -> None:
    if depth > _MAX_INCLUDED:
        raise PackagesError(f"{path.name} is included by a file that it includes: remove one of the two lines -r")
    file = path.relative_to(top).as_posix() if path.is_relative_to(top) else path.name
    for line in _logical_lines(text.read(path)):
        option, value = _option(line)
        if option in ("-r", "--requirement"):
            included = path.parent / value
            if not included.is_file():
                raise PackagesError(f"{file} includes {value}, which the drop does not have: drop it too")
            _read(included, top, found, depth=depth + 1)
        elif option in _INDEX_OPTIONS:
            _add_index(_INDEX_OPTIONS[option], value, path, found)
        elif option == "--no-index":
            found.options.append((option, ""))
        elif option is not None and option not in ("-e", "--editable"):
            found.ignored.append(f"{file}: {option}")
        else:
            found.lines.append(parse(line, file, path.parent))


def _add_index(option: str, value: str, path: Path, found: Lines) -> None:
    """Add an address, or a folder by its absolute path. uv would refuse every line because of another value."""
    local = (path.parent / value).resolve()
    if "://" in value or local.exists():
        found.options.append((option, value if "://" in value else str(local)))
    else:
        found.ignored.append(f"{path.name}: {option} {redacted(value)}")


def _logical_lines(content: str) -> Iterator[str]:
    """Yield lines without comments, those that end with a backslash joined with the next."""
    joined = ""
    for line in content.splitlines():
        if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
            joined += line.rstrip()[:-1] + " "
            continue
        stripped = _COMMENT.sub("", joined + line).strip().lstrip("\ufeff")
        joined = ""
        if stripped:
            yield stripped


def _option(line: str) -> tuple[str | None, str]:
    """Return the option that a line begins with, and its value; (None, "") for a line that asks for a package."""
    if not line.startswith("-"):
        return None, ""
    if not line.startswith("--"):
        return line[:2], line[2:].lstrip("= ").strip("\"'")
    name, _, value = line.replace("=", " ", 1).partition(" ")
    try:
        words = shlex.split(value)
    except ValueError:
        words = [value]
    return name, words[0] if words else ""


def _local(asked: str, folder: Path) -> Path | None:
    """Return the existing file or folder that a line names as a path, or None."""
    name = asked.partition("[")[0].strip()
    is_path = name.startswith((".", "/")) or "/" in name or name.endswith((".whl", ".tar.gz", ".zip"))
    if not is_path or "://" in asked or " @ " in asked:
        return None
    path = (folder / name).resolve()
    return path if path.exists() else None


def _requirement(asked: str) -> Requirement | None:
    conda = _CONDA.fullmatch(asked)
    egg = _EGG.search(asked)
    try:
        if conda:
            return Requirement(f"{conda[1]}=={conda[2]}")
        if egg and "://" in asked:
            return Requirement(f"{egg[1].rpartition('-')[0] or egg[1] if _has_version(egg[1]) else egg[1]} @ {asked}")
        return Requirement(asked)
    except InvalidRequirement:
        return None


def _has_version(name: str) -> bool:
    """Whether a name after `#egg=` ends with a version, as in `foo-1.0`."""
    return re.fullmatch(r".+-\d[\w.]*", name) is not None

"""A stand-in for `pkg_resources`, which setuptools 82 removed, and for what Chainer uses of `numpy.distutils`.

It has what programs ask for: versions, requirements, entry points and files of packages, made with importlib. Source:
https://setuptools.pypa.io/en/v75.0.0/pkg_resources.html
"""

import atexit
import importlib.metadata
import io
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import resources
from types import ModuleType
from typing import BinaryIO

from packaging.requirements import Requirement
from packaging.version import Version

_FILES = ExitStack()
atexit.register(_FILES.close)


class ResolutionError(Exception):
    """Base of the two errors that `pkg_resources.require` raises."""


class DistributionNotFound(ResolutionError):
    """No such distribution is installed."""


class VersionConflict(ResolutionError):
    """The distribution is installed in another version."""


def get_distribution(name: str) -> importlib.metadata.Distribution:
    """Return the installed distribution, which has a `version`.

    Raises:
        DistributionNotFound: It is not installed.
    """
    try:
        return importlib.metadata.distribution(Requirement(name).name)
    except importlib.metadata.PackageNotFoundError:
        raise DistributionNotFound(name) from None


def require(*requirements: str) -> list[importlib.metadata.Distribution]:
    """Return the distributions that fulfil the requirements, such as `cupy>=7.7.0,<8.0.0`.

    Raises:
        DistributionNotFound: One is not installed.
        VersionConflict: One is installed in another version.
    """
    found = []
    for text in requirements:
        distribution = get_distribution(text)
        if not Requirement(text).specifier.contains(distribution.version, prereleases=True):
            raise VersionConflict(distribution, text)
        found.append(distribution)
    return found


def iter_entry_points(group: str, name: str | None = None) -> Iterator[importlib.metadata.EntryPoint]:
    """Yield the entry points of a group, all or those of this name."""
    found = importlib.metadata.entry_points(group=group)
    yield from found if name is None else found.select(name=name)


def parse_version(v: str) -> Version:
    """Return the version, which can be compared."""
    return Version(v)


def parse_requirements(strs: str | list[str]) -> Iterator[Requirement]:
    """Yield the requirements in lines, without comments."""
    for line in strs.splitlines() if isinstance(strs, str) else strs:
        text = line.partition(" #")[0].strip()
        if text and not text.startswith("#"):
            yield Requirement(text)


def resource_filename(package: str, resource: str) -> str:
    """Return the path of a file or folder in a package. One out of an archive exists until the process ends."""
    return str(_FILES.enter_context(resources.as_file(resources.files(package).joinpath(resource))))


def resource_string(package: str, resource: str) -> bytes:
    """Return the content of a file in a package."""
    return resources.files(package).joinpath(resource).read_bytes()


def resource_stream(package: str, resource: str) -> BinaryIO:
    """Return the content of a file in a package as a file that is open for reading."""
    return io.BytesIO(resource_string(package, resource))


def resource_exists(package: str, resource: str) -> bool:
    """Whether a package has this file or folder."""
    found = resources.files(package).joinpath(resource)
    return found.is_file() or found.is_dir()


def resource_isdir(package: str, resource: str) -> bool:
    """Whether a package has this folder."""
    return resources.files(package).joinpath(resource).is_dir()


def resource_listdir(package: str, resource: str) -> list[str]:
    """Return the names of what a folder in a package contains."""
    return [found.name for found in resources.files(package).joinpath(resource).iterdir()]


def declare_namespace(name: str) -> None:
    """Do nothing: Python itself has packages in several folders since 3.3."""


def fixup_namespace_packages(path_item: str, parent: str | None = None) -> None:
    """Do nothing, as `declare_namespace`. pytest calls it if `pkg_resources` has been imported."""


class WorkingSet:
    """The installed distributions."""

    def require(self, *requirements: str) -> list[importlib.metadata.Distribution]:
        """See the function `require`."""
        return require(*requirements)

    def __iter__(self) -> Iterator[importlib.metadata.Distribution]:
        """Yield each distribution."""
        yield from importlib.metadata.distributions()

    @property
    def by_key(self) -> dict[str, importlib.metadata.Distribution]:
        """Each distribution by its name in lower case."""
        return {str(found.metadata["Name"]).lower(): found for found in self}


def fill(module: ModuleType) -> None:
    """Put the names of `pkg_resources` into a stand-in."""
    parts = (
        ResolutionError, DistributionNotFound, VersionConflict, WorkingSet, Requirement, get_distribution, require,
        iter_entry_points, parse_version, parse_requirements, resource_filename, resource_string, resource_stream,
        resource_exists, resource_isdir, resource_listdir, declare_namespace,
        fixup_namespace_packages,
    )  # fmt: skip
    vars(module).update(
        {part.__name__: part for part in parts}, working_set=WorkingSet(), Distribution=importlib.metadata.Distribution
    )


def stand_ins() -> dict[str, ModuleType]:
    """Return the stand-ins by their names."""
    packages = ModuleType("pkg_resources")
    fill(packages)
    modules = (packages, ModuleType("numpy.distutils"), ModuleType("numpy.distutils.system_info"))
    return {module.__name__: module for module in modules}

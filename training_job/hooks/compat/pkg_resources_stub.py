"""Stand-ins for the parts of `pkg_resources` and `numpy.distutils` that Chainer uses, made with importlib.metadata."""

import importlib.metadata
from types import ModuleType

from packaging.requirements import Requirement


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


class WorkingSet:
    """The installed distributions."""

    def require(self, *requirements: str) -> list[importlib.metadata.Distribution]:
        """See the function `require`."""
        return require(*requirements)


def stand_ins() -> dict[str, ModuleType]:
    """Return the stand-ins by their names."""
    packages = ModuleType("pkg_resources")
    for part in (ResolutionError, DistributionNotFound, VersionConflict, WorkingSet, get_distribution, require):
        setattr(packages, part.__name__, part)
    modules = (packages, ModuleType("numpy.distutils"), ModuleType("numpy.distutils.system_info"))
    return {module.__name__: module for module in modules}

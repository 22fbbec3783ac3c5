"""What a job's environment provides: it is never installed again, whatever version a line asks for."""

import hashlib
import importlib.metadata
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from training_job.requirements import known_names

_FOLDERS = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Provider:
    """What fulfils a line: a distribution of the environment (with its version), Python, or Chainer."""

    name: str
    version: str | None = None


class Environment:
    """The installed distributions of the Python that runs this."""

    @cached_property
    def versions(self) -> dict[str, str]:
        """The version of each installed distribution, by canonical name."""
        found: dict[str, str] = {}
        for distribution in importlib.metadata.distributions():
            name: str | None = distribution.metadata["Name"]
            if name is not None:  # a damaged installation has none
                found.setdefault(canonicalize_name(name), distribution.version)
        return found

    @cached_property
    def folders(self) -> list[Path]:
        """The folders of the installed packages, in Python's order."""
        paths = [Path(entry) for entry in sys.path if entry]
        return [path for path in paths if path.name in _FOLDERS and path.is_dir()]

    @cached_property
    def digest(self) -> str:
        """A digest of Python, its path and the installed versions."""
        parts = [platform.python_version(), platform.machine(), sys.base_prefix, *map(str, self.folders)]
        parts += [f"{name}=={version}" for name, version in sorted(self.versions.items())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def provider(self, name: str) -> Provider | None:
        """Return what provides a distribution, or None if it has to be installed."""
        asked = canonicalize_name(name)
        for candidate in dict.fromkeys((asked, known_names.SAME.get(asked, asked))):
            if candidate in self.versions:
                return Provider(candidate, self.versions[candidate])
        if known_names.is_cupy(asked):
            # The environment of a node without a GPU has none, and no other CuPy would work on it.
            found = next((found for found in sorted(self.versions) if known_names.is_cupy(found)), None)
            return Provider("cupy") if found is None else Provider(found, self.versions[found])
        if asked in known_names.FRAMEWORK:
            return Provider("chainer", self.versions.get("chainer"))
        return Provider("python", platform.python_version()) if known_names.is_python(asked) else None

    def excluded(self) -> list[str]:
        """Return the distributions that no other may bring with it."""
        same = {name for name, provider in known_names.SAME.items() if provider in self.versions}
        python = {name for name in sys.stdlib_module_names if not name.startswith("_")}
        every = {
            *self.versions,
            *same,
            *python,
            *known_names.BACKPORTS,
            *known_names.FRAMEWORK,
            *known_names.CUPY_NAMES,
        }
        return sorted({canonicalize_name(name) for name in every})

    def extras_of(self, requirement: Requirement) -> Iterator[Requirement]:
        """Yield what the extras of an installed distribution ask for, such as `ale-py` for `gym[atari]`."""
        provider = self.provider(requirement.name)
        if not requirement.extras or provider is None or provider.name not in self.versions:
            return
        for text in importlib.metadata.requires(provider.name) or ():
            try:
                asked = Requirement(text)
            except InvalidRequirement:
                continue
            marker = asked.marker
            is_of_extra = marker is not None and "extra" in str(marker)
            if marker and is_of_extra and any(marker.evaluate({"extra": extra}) for extra in requirement.extras):
                asked.marker = None
                yield asked

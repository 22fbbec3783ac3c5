"""The keys of the job spec that name the software a job runs with."""

import re
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from function_app.job_fields import DropPath, Line, SpecModel, checked, matching, shape, shown
from function_app.public_address import host_problem, url_problem

EnvironmentName = Annotated[
    str,
    matching(
        r"azureml:[A-Za-z0-9][A-Za-z0-9._-]{0,254}(:[A-Za-z0-9._-]{1,30}|@latest)",
        "an environment: azureml:<name>:<version>, azureml:<name>@latest, or a mapping with image and conda_file",
    ),
]


def _image_problem(image: str) -> str | None:
    """Return what is wrong with the registry that an image comes from; without one it is Docker Hub."""
    first, slash, _ = image.partition("/")
    host, _, port = first.partition(":")
    if not slash or not ("." in first or port or first == "localhost"):
        return None
    reason = "names a port" if port else host_problem(host)
    return f"{shown(image)}: the registry {shown(first)} {reason}" if reason else None


_WORD_OPTIONS = ("--pre", "--prefer-binary")
_URL_OPTIONS = ("--index-url", "-i", "--extra-index-url", "--find-links", "-f")
_NAME_OPTIONS = ("--no-binary", "--only-binary")


def _pip_problem(line: str) -> str | None:
    """Return what is wrong with a line of pip's: a requirement, or an option that reads no file of the builder's."""
    if "${" in line:
        return f"{shown(line)} holds ${{, which pip fills in from the builder's environment"
    option, *values = re.split(r"[\s=]+", line.strip(), maxsplit=1)
    if option.startswith("-"):
        if option not in (*_WORD_OPTIONS, *_URL_OPTIONS, *_NAME_OPTIONS):
            return f"{shown(option)} is refused; allowed: {', '.join((*_WORD_OPTIONS, *_URL_OPTIONS, *_NAME_OPTIONS))}"
        reason = url_problem(values[0]) if values and option in _URL_OPTIONS else None
        return f"{shown(values[0])} {reason}" if reason else None
    requirement = line.partition(" #")[0].partition(";")[0].strip()
    name, at, address = (part.strip() for part in requirement.partition("@"))
    if at or ":" in requirement or requirement.startswith((".", "/", "~")) or "/" in name or "\\" in requirement:
        address = (address if at else requirement).removeprefix("git+")
        return f"{shown(line)} {reason}" if (reason := url_problem(address)) else None
    return None


def _channel_problem(channel: str) -> str | None:
    """Return what is wrong with a conda channel: a name, or an address."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/(label/)?[A-Za-z0-9_.-]+)?", channel):
        return None
    return f"{shown(channel)} {reason}" if (reason := url_problem(channel)) else None


def _dependency_problem(dependency: str) -> str | None:
    """Return what is wrong with a conda package: `numpy=2.1`, maybe with its channel before it, `pytorch::torch`."""
    channel, colons, _ = dependency.partition("::")
    if colons and (reason := _channel_problem(channel)):
        return reason
    if "://" in dependency and not colons:
        return f"{shown(dependency)} is an address; name the package, and its channel in channels"
    return None


Image = Annotated[
    str,
    Field(max_length=255),
    matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+)?(/[A-Za-z0-9][A-Za-z0-9._-]*)*(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?",
        "the name of a container image, such as mcr.microsoft.com/azureml/openmpi5.0-cuda12.4-ubuntu22.04:20260101.v1",
    ),
    checked(_image_problem),
]


class PipPackages(SpecModel):
    """The packages of a conda file that pip installs."""

    pip: Annotated[tuple[Annotated[Line, checked(_pip_problem)], ...], Field(strict=False)]


Dependency = Annotated[
    Annotated[Line, checked(_dependency_problem), Tag("text")] | Annotated[PipPackages, Tag("mapping")],
    Discriminator(shape),
]


class CondaFile(SpecModel):
    """What a conda file says, be it in a file of the drop or written out in the job."""

    name: Line | None = None
    channels: Annotated[tuple[Annotated[Line, checked(_channel_problem)], ...], Field(strict=False)] = ()
    dependencies: Annotated[tuple[Dependency, ...], Field(strict=False, min_length=1)]


class InlineEnvironment(SpecModel):
    """An environment that is built for the job: an image, and what conda puts on top of it."""

    refused_keys: ClassVar[dict[str, str]] = {
        "build": "Kedja builds no images; name one in image",
        "name": "an environment written out here has none; a registered one is azureml:<name>:<version>",
        "version": "an environment written out here has none; a registered one is azureml:<name>:<version>",
        "os_type": "jobs run on Linux",
        "inference_config": "it is for endpoints",
        "datastore": "Kedja decides where files are kept",
    }

    image: Image
    conda_file: (
        Annotated[
            Annotated[DropPath, Tag("text")] | Annotated[CondaFile, Tag("mapping")],
            Discriminator(shape),
        ]
        | None
    ) = None


Environment = Annotated[
    Annotated[EnvironmentName, Tag("text")] | Annotated[InlineEnvironment, Tag("mapping")],
    Discriminator(shape),
]
"""A registered environment by its name, or one written out."""

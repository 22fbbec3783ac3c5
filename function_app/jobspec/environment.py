"""The keys of the job spec that name the software a job runs with."""

import re
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from function_app.jobspec.fields import DropPath, Line, SpecModel, checked, matching, shape, shown
from function_app.jobspec.public_hosts import host_problem, url_problem

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
_PIP_OPTIONS = (*_WORD_OPTIONS, *_URL_OPTIONS, *_NAME_OPTIONS)


def _text_problem(text: str) -> str | None:
    """Return why a text may mean more to the program that reads it than the one line it shows."""
    if "$" in text:
        return f"{shown(text)} holds $, which may be filled in from the builder's environment"
    if "\\" in text or not text.isprintable():
        return f"{shown(text)} holds a backslash or a control character, which may join lines or break one"
    return None


def _pip_problem(line: str) -> str | None:
    """Return what is wrong with a line of pip's: a requirement, or one option that reads no file of the builder's."""
    if reason := _text_problem(line):
        return reason
    text = line.partition(" #")[0].strip()
    if text.startswith("-"):
        return _option_problem(text)
    if " -" in text:
        return f"{shown(line)} holds an option; an option has a line of its own"
    name, at, _ = text.partition(";")[0].partition("@")
    is_named = ":" not in name and "/" not in name and not name.startswith((".", "~"))
    if is_named and not at:
        return None
    # All that follows: in an address pip may take a semicolon for a part of it.
    address, _, rest = (text.partition("@")[2] if is_named else text).strip().partition(" ")
    if rest and not (rest.startswith(";") or address.endswith(";")):
        return f"{shown(line)} holds more than an address"
    return f"{shown(line)} {reason}" if (reason := url_problem(address.removeprefix("git+"))) else None


def _option_problem(line: str) -> str | None:
    """Return what is wrong with a line of options: pip applies each that stands on it, so it may have one alone."""
    option, *values = re.split(r"\s*=\s*|\s+", line, maxsplit=1)
    if option not in _PIP_OPTIONS:
        return f"{shown(option)} is refused; allowed: {', '.join(_PIP_OPTIONS)}"
    if option in _WORD_OPTIONS:
        return f"{shown(line)}: {option} stands alone on its line" if values else None
    if len(values) != 1 or not re.fullmatch(r"[^\s'\"-][^\s'\"]*", values[0]):
        return f"{shown(line)}: {option} takes one value, and nothing else may stand on its line"
    reason = url_problem(values[0]) if option in _URL_OPTIONS else None
    return f"{shown(values[0])} {reason}" if reason else None


def _channel_problem(channel: str) -> str | None:
    """Return what is wrong with a conda channel: a name, or an address."""
    if reason := _text_problem(channel):
        return reason
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/(label/)?[A-Za-z0-9_.-]+)?", channel):
        return None
    return f"{shown(channel)} {reason}" if (reason := url_problem(channel)) else None


def _dependency_problem(dependency: str) -> str | None:
    """Return what is wrong with a conda package: `numpy=2.1`, maybe with its channel before it, `pytorch::torch`."""
    channel, colons, package = dependency.partition("::")
    if colons and (reason := _channel_problem(channel)):
        return reason
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+!*|,<>=~ -]*", package if colons else dependency):
        return (
            f"{shown(dependency)} is no package with its version, such as numpy=2.1; name where it comes from in "
            "channels, or before ::"
        )
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

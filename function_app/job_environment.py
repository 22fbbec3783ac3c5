"""The keys of the job spec that name the software a job runs with."""

from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from function_app.job_fields import DropPath, Line, SpecModel, matching, shape

EnvironmentName = Annotated[
    str,
    matching(
        r"azureml:[A-Za-z0-9][A-Za-z0-9._-]{0,254}(:[A-Za-z0-9._-]{1,30}|@latest)",
        "an environment: azureml:<name>:<version>, azureml:<name>@latest, or a mapping with image and conda_file",
    ),
]
Image = Annotated[
    str,
    Field(max_length=255),
    matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(:[0-9]+)?(/[A-Za-z0-9][A-Za-z0-9._-]*)*(:[A-Za-z0-9._-]+)?(@sha256:[0-9a-f]{64})?",
        "the name of a container image, such as mcr.microsoft.com/azureml/openmpi5.0-cuda12.4-ubuntu22.04:20260101.v1",
    ),
]


class PipPackages(SpecModel):
    """The packages of a conda file that pip installs."""

    pip: Annotated[tuple[Line, ...], Field(strict=False)]


Dependency = Annotated[
    Annotated[Line, Tag("text")] | Annotated[PipPackages, Tag("mapping")],
    Discriminator(shape),
]


class CondaFile(SpecModel):
    """What a conda file says, be it in a file of the drop or written out in the job."""

    name: Line | None = None
    channels: Annotated[tuple[Line, ...], Field(strict=False)] = ()
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

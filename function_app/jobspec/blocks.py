"""The blocks of a job: its inputs and outputs, compute, resources, distribution and limits."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from function_app.jobspec.fields import (
    CommandValue,
    Count,
    Identifier,
    Seconds,
    SpecModel,
    pattern,
    redacted_repr,
    shape,
    validator,
)

_FOREIGN = "a job reads only its drop: inputs.data and inputs.scripts, whose paths Kedja sets"
_NO_PLACE = "Kedja decides where outputs are kept"
_OWN_COMPUTES = ("local", "serverless")


class FolderInput(SpecModel):
    """How the node gets one of Kedja's own inputs, `data` or `scripts`."""

    refused_keys: ClassVar[dict[str, str]] = {"path": _FOREIGN, "datastore": _FOREIGN, "path_on_compute": _FOREIGN}

    type: Literal["uri_folder"] = "uri_folder"
    mode: Literal["download", "ro_mount"] = "download"


Input = Annotated[
    Annotated[CommandValue, Tag("text")] | Annotated[FolderInput, Tag("mapping")],
    Discriminator(shape),
]
"""A literal, or one of Kedja's own folder inputs."""


class Output(SpecModel):
    """A folder or file that the job writes in addition to `./outputs`."""

    refused_keys: ClassVar[dict[str, str]] = dict.fromkeys(("path", "name", "version"), _NO_PLACE)

    type: Literal["uri_folder", "uri_file"] = "uri_folder"
    mode: Literal["rw_mount", "upload"] = "rw_mount"


class Resources(SpecModel):
    """The number of nodes, and the shared memory of each."""

    refused_keys: ClassVar[dict[str, str]] = {
        "docker_args": "it would reach outside the container",
        "instance_type": "the cluster sets the size of its nodes; name another cluster in compute",
        "locations": "the cluster sets where its nodes are",
        "max_instance_count": "the cluster sets how far it scales",
        "properties": "it is for computes that Kedja does not use",
    }

    instance_count: Count = 1
    shm_size: Annotated[str, pattern(r"[1-9][0-9]{0,8}[bkmg]", "a size such as 8g (b, k, m or g)")] | None = None


class Mpi(SpecModel):
    """Processes started by mpirun, for Horovod and ChainerMN."""

    type: Literal["mpi"]
    process_count_per_instance: Count = 1


class PyTorch(SpecModel):
    """Processes that find each other through torch.distributed."""

    type: Literal["pytorch"]
    process_count_per_instance: Count = 1


class TensorFlow(SpecModel):
    """Processes with a TF_CONFIG."""

    type: Literal["tensorflow"]
    worker_count: Count | None = None
    parameter_server_count: Annotated[int, Field(ge=0, le=1000)] = 0


Distribution = Annotated[Mpi | PyTorch | TensorFlow, Field(discriminator="type")]


class Limits(SpecModel):
    """The time limits of jobs and sweeps, and the number of trials of a sweep."""

    timeout: Seconds | None = None
    max_total_trials: Count | None = None
    max_concurrent_trials: Count | None = None
    trial_timeout: Seconds | None = None


class QueueSettings(SpecModel):
    """The job's tier and priority in Azure ML's queue."""

    job_tier: Literal["spot", "basic", "standard", "premium"] | None = None
    priority: Literal["low", "medium", "high"] | None = None


def _compute_problem(name: str) -> str | None:
    if name.lower() in _OWN_COMPUTES:
        refused = f"{redacted_repr(name)} is refused"
        return f"{refused}: a job runs on a cluster, not on the service's machine and not serverless"
    return None


ComputeName = Annotated[
    str,
    pattern(r"(azureml:)?[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "the name of a compute: <name> or azureml:<name>"),
    AfterValidator(lambda name: name.removeprefix("azureml:")),
    validator(_compute_problem),
]


def _variable_problem(name: str) -> str | None:
    own = ("KEDJA_", "AZUREML_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME")
    return f"{redacted_repr(name)} is set by the service" if name.upper().startswith(own) else None


VariableName = Annotated[Identifier, validator(_variable_problem)]


def _tag_problem(name: str) -> str | None:
    return (
        f"{redacted_repr(name)} is refused: names that begin with kedja_ are reserved"
        if name.startswith("kedja_")
        else None
    )


TagName = Annotated[str, Field(min_length=1, max_length=100), validator(_tag_problem)]

MOST_TAGS = 48
"""Max tags: Azure ML allows 50, with names of up to 100 characters, and Kedja sets two
(https://learn.microsoft.com/azure/machine-learning/resource-limits-capacity)."""

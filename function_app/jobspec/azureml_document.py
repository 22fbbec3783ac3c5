"""Builds the complete document for the training service from a job spec and its drop.

Format: Azure ML's command-job and sweep-job YAML as plain JSON values, without `code` (the service's adapter adds the
release's `training_job`) and without paths that a loader would look for on its own machine.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.jobspec.kedja_block import Argument
from function_app.jobspec.placeholders import quote
from function_app.jobspec.schema import DATA_INPUT, SCRIPTS_INPUT, JobSpec, Trial
from function_app.ports.training_service import RECEIPT_TAG

FOLDER_TAG = "kedja_folder"
"""Tag of a job: the folder of its experiment."""
CHECKPOINTS_OUTPUT = "kedja_checkpoints"
"""The output where `training_job.launch` keeps the checkpoints that a restart resumes from."""
_LAUNCH = "python -m training_job.launch"
_NOTEBOOK = "python -m training_job.notebook"
_TRAIN = "python -m training_job.train"
_SHOWN_OF_DROP = 8


@frozen(kw_only=True)
class JobInputs:
    """What a drop gives its job. `folder` is the experiment's folder in the container of data.

    `entry_script` is the script to run, relative to `spec.work.code`; None for the built-in trainer, or if the spec has
    its own command. `has_data`: the job has the input `data`.
    """

    ref: DropRef
    folder: str
    entry_script: str | None
    has_data: bool


@frozen(kw_only=True)
class JobDefaults:
    """What holds for jobs whose spec says nothing else: the compute, and the environment as azureml:<name>:<version>.

    `resumes`: a killed job resumes from its last checkpoint in the drop's next attempt. Sweeps never do, as their
    trials would share the checkpoints.
    """

    compute: str
    environment: str
    resumes: bool = False


def job_document(spec: JobSpec, inputs: JobInputs, defaults: JobDefaults) -> dict[str, Any]:
    """Return the document of the job for one drop. `spec.conda_path` must be None.

    Kedja's own tags override the user's. The experiment's slug names it in the training service.
    """
    if spec.conda_path is not None:
        raise ValueError(f"{spec.conda_path} has not been read: call with_conda_file first")
    ref, resumes = inputs.ref, defaults.resumes and spec.type == "command"
    command = job_command(spec, entry_script=inputs.entry_script, has_data=inputs.has_data, resumes=resumes)
    work = _work(spec.work, command, defaults.environment, spec.kedja.environment_variables)
    document = {
        "type": spec.type,
        "experiment_name": ref.experiment,
        "display_name": spec.display_name or f"{inputs.folder} {ref.drop[:_SHOWN_OF_DROP]}",
        "description": spec.description,
        "compute": f"azureml:{spec.compute_name or defaults.compute}",
        "inputs": _inputs(spec, inputs),
        "outputs": {
            **{name: output.model_dump() for name, output in spec.outputs.items()},
            **(_checkpoints(ref) if resumes else {}),
        },
        "limits": spec.limits.model_dump(exclude_none=True),
        "queue_settings": spec.queue_settings.model_dump(exclude_none=True),
        "tags": {**spec.tags, RECEIPT_TAG: str(ref), FOLDER_TAG: inputs.folder},
        **(_sweep(spec, work) if spec.type == "sweep" else work),
    }
    return _filled(document)


def job_command(spec: JobSpec, *, entry_script: str | None, has_data: bool, resumes: bool = False) -> str:
    """Return the command line: `training_job.launch` with the script, the trainer or the user's own command."""
    parts = [_LAUNCH, "--snapshot", quote(f"${{{{inputs.{SCRIPTS_INPUT}}}}}")]
    data = quote(f"${{{{inputs.{DATA_INPUT}}}}}")
    if has_data:
        parts += ["--data", data]
    if spec.work.code != ".":
        parts += ["--code", shlex.quote(spec.work.code)]
    if spec.kedja.requirements is not None:
        parts += ["--requirements", shlex.quote(spec.kedja.requirements)]
    if spec.kedja.allow_pickle:
        parts.append("--allow-pickle")
    if resumes:
        parts += ["--checkpoints", quote(f"${{{{outputs.{CHECKPOINTS_OUTPUT}}}}}")]
    if spec.work.command is not None:
        return " ".join([*parts, "--shell", quote(spec.work.command)])
    if entry_script is not None:
        parts += ["--", _NOTEBOOK if naming.is_notebook(entry_script) else "python", shlex.quote(entry_script)]
    else:
        parts += ["--", _TRAIN]
        if has_data and "data" not in spec.kedja.arguments:
            parts += ["--data", data]
    return " ".join([*parts, *_argv(spec.kedja.arguments)])


def _argv(arguments: Mapping[str, Argument]) -> list[str]:
    """Return the words on the command line: `--epochs 10` for `epochs: 10`, `--verbose` for `verbose: true`."""
    words: list[str] = []
    for name, value in arguments.items():
        if value is False:
            continue
        words.append(name if name.startswith("-") else f"--{name}")
        if value is not True:
            words += [quote(str(item)) for item in (value if isinstance(value, tuple) else (value,))]
    return words


def _work(work: Trial, command: str, environment: str, variables: Mapping[str, str]) -> dict[str, Any]:
    values = work.model_dump(mode="json", exclude_none=True, include={"environment_variables", "distribution"})
    values["environment_variables"] = {**work.environment_variables, **variables}
    # To conda, an empty list of channels means none, instead of its default ones.
    values |= work.model_dump(mode="json", exclude_defaults=True, include={"environment"})
    resources = work.resources.model_dump(exclude_none=True, exclude_defaults=True)
    return _filled({"environment": environment, **values, "command": command, "resources": resources})


def _sweep(spec: JobSpec, work: Mapping[str, Any]) -> dict[str, Any]:
    keys = {"search_space", "objective", "sampling_algorithm", "early_termination"}
    resources = spec.resources.model_dump(exclude_none=True, exclude_defaults=True)
    return {**spec.model_dump(mode="json", exclude_none=True, include=keys), "resources": resources, "trial": work}


def _inputs(spec: JobSpec, inputs: JobInputs) -> dict[str, Any]:
    places = {SCRIPTS_INPUT: f"{naming.SNAPSHOTS_DATASTORE}/paths/{naming.snapshot_prefix(inputs.ref)}"}
    if inputs.has_data:
        places[DATA_INPUT] = f"{naming.DATA_DATASTORE}/paths/{inputs.folder}/"
    own = {
        name: {**spec.folder_input(name).model_dump(), "path": f"azureml://datastores/{place}"}
        for name, place in places.items()
    }
    literals = {name: value for name, value in spec.inputs.items() if name not in (SCRIPTS_INPUT, DATA_INPUT)}
    return {**literals, **own}


def _checkpoints(ref: DropRef) -> dict[str, Any]:
    """Return an output in a fixed folder: when it is mounted, it holds the checkpoints of earlier attempts."""
    place = f"{naming.CHECKPOINTS_DATASTORE}/paths/{naming.checkpoints_prefix(ref)}"
    return {
        CHECKPOINTS_OUTPUT: {"type": "uri_folder", "mode": "rw_mount", "path": f"azureml://datastores/{place}"},
    }


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without None and empty mappings."""
    return {key: value for key, value in values.items() if value is not None and value != {}}

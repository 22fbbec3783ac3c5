"""Interprets the document of a command job for one machine.

Format: Azure ML's command-job YAML (https://learn.microsoft.com/azure/machine-learning/reference-yaml-job-command) as
plain JSON values. Keys that only matter on a cluster (`environment`, `resources.shm_size`, `identity`, …) are accepted
and ignored; those that would change the computation are refused.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from function_app.errors import JobRefused

DATASTORES = {"kedja_data": "data", "kedja_snapshots": "snapshots"}
"""Datastore → container."""

OUTPUT_DATASTORES = {"workspaceblobstore": "azureml"}
"""The same for outputs with a path. On this machine, the workspace has a single container."""

_DATASTORE_URI = re.compile(r"azureml://datastores/(?P<datastore>[^/]+)/paths/(?P<path>.*)")
_EXPRESSION = re.compile(r"\$\{\{\s*(?P<expression>[^}]*?)\s*\}\}")


@frozen(kw_only=True)
class BlobInput:
    """A folder of blobs, or one blob, that a job reads."""

    container: str
    path: str
    is_file: bool


@frozen(kw_only=True)
class BlobOutput:
    """A folder of blobs that a job continues to write; it starts with the existing files. `path` ends in a slash."""

    container: str
    path: str


@frozen(kw_only=True)
class CommandJob:
    """A validated document. `timeout` is in seconds; `processes` is the number of MPI processes, 1 without MPI."""

    command: str
    compute: str
    inputs: Mapping[str, BlobInput | str]
    outputs: Mapping[str, BlobOutput | None]
    environment_variables: Mapping[str, str]
    timeout: float | None
    processes: int = 1

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "CommandJob":
        """Read and validate a document.

        Raises:
            JobRefused: this machine cannot run it; the message names the key.
        """
        _refuse_unsupported(document)
        inputs = {str(name): _input(str(name), value) for name, value in (document.get("inputs") or {}).items()}
        outputs = {str(name): _output(str(name), value) for name, value in (document.get("outputs") or {}).items()}
        for name in (*inputs, *outputs):
            if not re.fullmatch(
                r"[A-Za-z_][A-Za-z0-9_]*", name
            ):  # Azure ML's rule; here it becomes the name of a folder
                raise JobRefused(f"inputs, outputs: {name!r} is not a valid name. Use letters, digits and underscores.")
        variables = document.get("environment_variables") or {}
        job = cls(
            command=str(document.get("command") or ""),
            compute=str(document.get("compute") or "").removeprefix("azureml:"),
            inputs=inputs,
            outputs=outputs,
            environment_variables={str(key): str(value) for key, value in variables.items()},
            timeout=_timeout(document),
            processes=_processes(document),
        )
        if not job.command.strip():
            raise JobRefused("command: it is missing or empty.")
        job.command_line(Path(), Path())
        return job

    def command_line(self, inputs: Path, outputs: Path) -> str:
        """Return the command with its expressions replaced: inputs and outputs become paths in these folders.

        Raises:
            JobRefused: an expression is unknown.
        """
        values = {
            f"inputs.{name}": value if isinstance(value, str) else str(input_path(inputs, name, value))
            for name, value in self.inputs.items()
        }
        values |= {f"outputs.{name}": str(outputs / name) for name in self.outputs}

        def value_of(match: re.Match[str]) -> str:
            expression = match["expression"]
            if expression not in values:
                known = ", ".join(sorted(values)) or "none"
                raise JobRefused(f"command: {match[0]} is unknown; known names: {known}.")
            return values[expression]

        line = _EXPRESSION.sub(value_of, self.command)
        if self.processes == 1:
            return line
        # As on a node of Azure ML, each process runs the whole command; there may be more processes than cores.
        return f"mpirun --allow-run-as-root --oversubscribe -n {self.processes} bash -c {shlex.quote(line)}"


def input_path(inputs: Path, name: str, value: BlobInput) -> Path:
    """Return the path of an input: the folder of its name, or the file in that folder if it is a file."""
    return inputs / name / Path(value.path).name if value.is_file else inputs / name


def _refuse_unsupported(document: Mapping[str, Any]) -> None:
    kind = document.get("type", "command")
    if kind == "sweep":
        raise JobRefused("type: sweeps run on Azure ML only. Here, drop one command job for each value to try.")
    if kind != "command":
        raise JobRefused(f"type: {kind!r} does not run here; command does.")
    instances = (document.get("resources") or {}).get("instance_count", 1)
    if instances != 1:
        raise JobRefused(
            f"resources.instance_count: {instances} nodes were requested, and this machine is one. Write 1."
        )


def _processes(document: Mapping[str, Any]) -> int:
    distribution = document.get("distribution")
    if not distribution:
        return 1
    if distribution.get("type") != "mpi":
        raise JobRefused(f"distribution.type: {distribution.get('type')!r} runs on Azure ML only; mpi runs here.")
    count = distribution.get("process_count_per_instance", 1)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise JobRefused(f"distribution.process_count_per_instance: {count!r} is not a number of processes.")
    return count


def _timeout(document: Mapping[str, Any]) -> float | None:
    timeout = (document.get("limits") or {}).get("timeout")
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise JobRefused(f"limits.timeout: {timeout!r} is not a number of seconds.")
    return float(timeout)


def _output(name: str, value: object) -> BlobOutput | None:
    """Return the location that an output names, or None if it belongs to the job's artifacts."""
    path = str(value.get("path") or "") if isinstance(value, Mapping) else ""
    if not path:
        return None
    match = _DATASTORE_URI.fullmatch(path)
    container = OUTPUT_DATASTORES.get(match["datastore"]) if match else None
    folder = match["path"].strip("/") if match else ""
    if container is None or not folder:
        stores = ", ".join(f"azureml://datastores/{store}/paths/<folder>/" for store in OUTPUT_DATASTORES)
        raise JobRefused(f"outputs.{name}.path: {path!r} cannot be written here. Leave it out, or use {stores}.")
    return BlobOutput(container=container, path=f"{folder}/")


def _input(name: str, value: object) -> BlobInput | str:
    if not isinstance(value, Mapping):
        return str(value)  # a literal, formatted as by the Azure ML SDK
    path = str(value.get("path", ""))
    match = _DATASTORE_URI.fullmatch(path)
    container = DATASTORES.get(match["datastore"]) if match else None
    if match is None or container is None:
        stores = ", ".join(f"azureml://datastores/{store}/paths/…" for store in DATASTORES)
        raise JobRefused(f"inputs.{name}.path: {path!r} cannot be read here. Use one of {stores}.")
    is_file = value.get("type", "uri_folder") == "uri_file"
    folder = match["path"].strip("/")
    return BlobInput(container=container, path=folder if is_file or not folder else f"{folder}/", is_file=is_file)

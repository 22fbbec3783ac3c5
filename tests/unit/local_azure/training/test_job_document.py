import shlex
from pathlib import Path
from typing import Any

import pytest

from function_app.errors import JobRefused
from local_azure.training.job_document import BlobInput, BlobOutput, CommandJob

PLACE = "azureml://datastores/workspaceblobstore/paths"
DATA = "azureml://datastores/kedja_data/paths/digits/"


def document(**keys: object) -> dict[str, Any]:
    return {"command": "true", "compute": "azureml:gpu-cluster", **keys}


def test_reads_what_a_job_needs() -> None:
    job = CommandJob.from_document(
        document(
            inputs={
                "data": {"type": "uri_folder", "path": DATA, "mode": "ro_mount"},
                "one": {"type": "uri_file", "path": f"{DATA}a b.npz"},
                "scripts": {"path": "azureml://datastores/kedja_snapshots/paths/digits/0f"},
                "epochs": 3,
                "shuffle": True,
            },
            environment_variables={"N": 1},
            limits={"timeout": 60},
            resources={"instance_count": 1},
        )
    )
    assert job.compute == "gpu-cluster"
    assert job.inputs == {
        "data": BlobInput(container="data", path="digits/", is_file=False),
        "one": BlobInput(container="data", path="digits/a b.npz", is_file=True),
        "scripts": BlobInput(container="snapshots", path="digits/0f/", is_file=False),
        "epochs": "3",
        "shuffle": "True",
    }
    assert job.environment_variables == {"N": "1"}
    assert job.timeout == 60


def test_mpi_runs_the_whole_command_in_each_process() -> None:
    job = CommandJob.from_document(
        document(command="python a.py && echo 'b c'", distribution={"type": "mpi", "process_count_per_instance": 3})
    )
    line = job.command_line(Path(), Path())
    assert line.startswith("mpirun --allow-run-as-root --oversubscribe -n 3 bash -c ")
    assert shlex.split(line)[-1] == "python a.py && echo 'b c'"


def test_an_output_may_have_a_place_of_its_own() -> None:
    job = CommandJob.from_document(document(outputs={"kept": {"path": f"{PLACE}/a/b/"}, "other": {}, "empty": None}))
    assert job.outputs == {"kept": BlobOutput(container="azureml", path="a/b/"), "other": None, "empty": None}


def test_a_whole_datastore_is_an_input() -> None:
    job = CommandJob.from_document(document(inputs={"all": {"path": "azureml://datastores/kedja_data/paths/"}}))
    assert job.inputs["all"] == BlobInput(container="data", path="", is_file=False)


def test_resolves_expressions() -> None:
    job = CommandJob.from_document(
        document(
            command="python t.py ${{inputs.data}} ${{ inputs.one }} ${{outputs.out}} -e ${{inputs.epochs}} $HOME ${X}",
            inputs={"data": {"path": DATA}, "one": {"type": "uri_file", "path": f"{DATA}a.npz"}, "epochs": 3},
            outputs={"out": {"type": "uri_folder"}},
        )
    )
    line = job.command_line(Path("/j/inputs"), Path("/j/named"))
    assert line == "python t.py /j/inputs/data /j/inputs/one/a.npz /j/named/out -e 3 $HOME ${X}"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"type": "sweep"}, "type: sweeps run on Azure ML only"),
        ({"type": "pipeline"}, "type: 'pipeline'"),
        ({"distribution": {"type": "pytorch"}}, "distribution.type: "),
        (
            {"distribution": {"type": "mpi", "process_count_per_instance": 0}},
            "distribution.process_count_per_instance: 0",
        ),
        ({"resources": {"instance_count": 2}}, "resources.instance_count: 2"),
        ({"command": " "}, "command: it is missing or empty"),
        ({"command": "x ${{inputs.dta}}"}, r"command: \$\{\{inputs.dta\}\} is unknown; known names: none"),
        ({"command": "x ${{search_space.lr}}"}, "search_space.lr"),
        ({"inputs": {"d": {"path": "azureml://datastores/other/paths/a"}}}, "inputs.d.path: 'azureml://datastores/ot"),
        ({"inputs": {"d": {"path": "https://example.org/a"}}}, "inputs.d.path: 'https"),
        ({"inputs": {"../d": 1}}, "'../d' is not a valid name"),
        ({"outputs": {"a/b": {}}}, "'a/b' is not a valid name"),
        (
            {"outputs": {"o": {"path": f"{DATA}x/"}}},
            "outputs.o.path: 'azureml://datastores/kedja_data/paths/digits/x/'",
        ),
        ({"outputs": {"o": {"path": f"{PLACE}/"}}}, "outputs.o.path"),
        ({"limits": {"timeout": "1h"}}, "limits.timeout: '1h'"),
        ({"limits": {"timeout": 0}}, "limits.timeout: 0"),
        ({"limits": {"timeout": True}}, "limits.timeout: True"),
    ],
)
def test_refuses_what_cannot_run_here_by_its_key(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(JobRefused, match=message):
        CommandJob.from_document(document(**keys))

import io
import json
import logging
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.domain.drop_ref import DropRef
from function_app.jobspec.azureml_document import JobDefaults, JobInputs, job_command, job_document
from function_app.jobspec.placeholders import quote
from function_app.jobspec.schema import JobSpec, parse_job_json, parse_job_yaml

LAUNCH = 'python -m training_job.launch --snapshot "${{inputs.scripts}}" --data "${{inputs.data}}"'
SWEEP = """
type: sweep
trial: {environment: {image: "docker.io/a/b:1", conda_file: {dependencies: [python=3.11, {pip: [chainer]}]}}}
search_space:
  lr: {type: uniform, min_value: 0.00001, max_value: 1}
  unit: {type: choice, values: [100, 500, 2.5, text]}
  momentum: {type: qnormal, mu: 0, sigma: 1, q: 2}
  seed: {type: randint, upper: 10}
objective: {goal: maximize, primary_metric: accuracy}
sampling_algorithm: {type: random, rule: sobol, seed: 3}
early_termination: {type: bandit, slack_factor: 0.1}
limits: {max_total_trials: 4, max_concurrent_trials: 2, timeout: 100, trial_timeout: 90}
kedja: {arguments: {lr: "${{search_space.lr}}"}}
"""
COMMAND = """
command: python a.py "${{inputs.text}}"
environment_variables: {A: 1, B: "yes"}
compute: azureml:big
inputs: {text: hello world, number: 0.5, flag: true, data: {mode: ro_mount}}
outputs: {model: , log: {type: uri_file, mode: upload}}
limits: {timeout: 60}
resources: {instance_count: 2, shm_size: 8g}
distribution: {type: mpi, process_count_per_instance: 1}
queue_settings: {job_tier: spot, priority: low}
tags: {a: 1, kind: mine}
description: what it is
"""


def document(spec: JobSpec, *, entry_script: str | None = "train.py", has_data: bool = True) -> dict[str, Any]:
    inputs = JobInputs(
        ref=DropRef("digits", "0123456789abcdef"), folder="digits", entry_script=entry_script, has_data=has_data
    )
    return job_document(spec, inputs, JobDefaults(compute="gpu-cluster", environment="azureml:kedja-chainer:1"))


def command(text: str, *, entry_script: str | None = "train.py", has_data: bool = True) -> str:
    return job_command(parse_job_yaml(text), entry_script=entry_script, has_data=has_data)


def test_a_drop_without_a_file_gets_every_default() -> None:
    assert document(parse_job_yaml("")) == {
        "type": "command",
        "experiment_name": "digits",
        "display_name": "digits 01234567",
        "compute": "azureml:gpu-cluster",
        "command": f"{LAUNCH} -- python train.py",
        "environment": "azureml:kedja-chainer:1",
        "inputs": {
            "scripts": {
                "type": "uri_folder",
                "mode": "download",
                "path": "azureml://datastores/kedja_snapshots/paths/digits/0123456789abcdef/",
            },
            "data": {
                "type": "uri_folder",
                "mode": "download",
                "path": "azureml://datastores/kedja_data/paths/digits/",
            },
        },
        "tags": {"kedja_receipt": "digits/0123456789abcdef", "kedja_folder": "digits"},
    }


def test_a_script_without_data_has_no_input_data() -> None:
    values = document(parse_job_yaml("kedja: {data: none}"), has_data=False)
    assert list(values["inputs"]) == ["scripts"]
    assert "data" not in values["command"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{epochs: 10, lr: 0.001, name: it}", "--epochs 10 --lr 0.001 --name it"),
        ("{verbose: true, quiet: false}", "--verbose"),
        ("{units: [64, 32.5, a b]}", "--units 64 32.5 'a b'"),
        ("{-g: 0, --out: x}", "-g 0 --out x"),
        ("{data: '${{ inputs.data }}'}", '--data "${{inputs.data}}"'),
        ("{data: 'in/${{inputs.data}}/my files'}", "--data in/\"${{inputs.data}}\"'/my files'"),
        ("{x: $HOME; rm -rf /, y: '', z: \"it's\"}", "--x '$HOME; rm -rf /' --y '' --z 'it'\"'\"'s'"),
    ],
)
def test_arguments_become_words(arguments: str, words: str) -> None:
    assert command(f"kedja: {{arguments: {arguments}}}") == f"{LAUNCH} -- python train.py {words}"


def test_the_built_in_trainer_gets_the_data_and_the_arguments() -> None:
    train = f"{LAUNCH} -- python -m training_job.train"
    assert command("kedja: {arguments: {epochs: 3}}", entry_script=None) == (
        f'{train} --data "${{{{inputs.data}}}}" --epochs 3'
    )
    assert command("kedja: {arguments: {data: x}}", entry_script=None) == f"{train} --data x"


def test_a_command_of_ones_own_is_one_word() -> None:
    assert command("command: |\n  echo 'a' && b ${{ inputs.data }}/x\n  c") == (
        f"{LAUNCH} --shell " + r"""'echo '"'"'a'"'"' && b '"${{inputs.data}}"'/x""" + "\nc'"
    )


def test_the_code_folder_is_told_to_launch() -> None:
    assert command("code: my src") == f"{LAUNCH} --code 'my src' -- python train.py"


def test_the_list_of_packages_is_named_to_launch() -> None:
    assert command("kedja: {requirements: my deps/gpu.txt}") == (
        f"{LAUNCH} --requirements 'my deps/gpu.txt' -- python train.py"
    )


def test_pickles_are_allowed_by_a_flag_of_launch() -> None:
    assert command("kedja: {allow_pickle: true}") == f"{LAUNCH} --allow-pickle -- python train.py"
    assert command("kedja: {allow_pickle: false}") == f"{LAUNCH} -- python train.py"


def test_a_script_with_an_odd_name_is_quoted() -> None:
    assert command("", entry_script="a b;c.py").endswith("-- python 'a b;c.py'")
    assert command("", entry_script="a b.ipynb").endswith("-- python -m training_job.notebook 'a b.ipynb'")


_PARTS = st.lists(st.text("ab '\"\\$`(){};&|\n*~!#é") | st.just("${{inputs.x}}"))


@given(_PARTS.map("".join), st.text("azAZ09 ./:=,@%+-é", max_size=5))
def test_a_shell_reads_back_what_was_quoted_with_the_placeholder_filled_in(text: str, value: str) -> None:
    filled = quote(text).replace("${{inputs.x}}", value)
    assert shlex.split(filled) == [text.replace("${{inputs.x}}", value)]


def test_a_real_shell_reads_it_so() -> None:
    text = "printf '%s|' \"${{inputs.x}}\" '$HOME' `echo no` \\\n \"it's\""
    line = f"printf %s {quote(text)}".replace("${{inputs.x}}", "a b")
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == text.replace("${{inputs.x}}", "a b")


class TestGoingOn:
    def document(self, text: str) -> dict[str, Any]:
        inputs = JobInputs(
            ref=DropRef("digits", "0123456789abcdef"), folder="digits", entry_script="train.py", has_data=True
        )
        defaults = JobDefaults(compute="gpu-cluster", environment="azureml:kedja-chainer:1", resumes=True)
        return job_document(parse_job_yaml(text), inputs, defaults)

    def test_a_job_keeps_its_checkpoints_where_its_drops_next_attempt_finds_them(self) -> None:
        values = self.document("outputs: {mine: }")
        assert values["command"] == f'{LAUNCH} --checkpoints "${{{{outputs.kedja_checkpoints}}}}" -- python train.py'
        assert values["outputs"] == {
            "mine": {"type": "uri_folder", "mode": "rw_mount"},
            "kedja_checkpoints": {
                "type": "uri_folder",
                "mode": "rw_mount",
                "path": "azureml://datastores/workspaceblobstore/paths/kedja-checkpoints/digits/0123456789abcdef/",
            },
        }

    def test_a_command_of_ones_own_does_too(self) -> None:
        command = self.document("command: python a.py")["command"]
        assert command == f"{LAUNCH} --checkpoints \"${{{{outputs.kedja_checkpoints}}}}\" --shell 'python a.py'"

    def test_a_sweep_does_not_as_its_trials_would_share_them(self) -> None:
        values = self.document(SWEEP)
        assert "outputs" not in values
        assert "--checkpoints" not in values["trial"]["command"]


def test_a_conda_file_must_have_been_read() -> None:
    spec = parse_job_yaml("environment: {image: x, conda_file: conda.yml}")
    with pytest.raises(ValueError, match=r"conda\.yml has not been read"):
        document(spec)
    values = document(spec.with_conda_file("dependencies: [python]"))
    assert values["environment"] == {"image": "x", "conda_file": {"dependencies": ["python"]}}


def test_kedja_has_the_last_word_on_tags() -> None:
    spec = parse_job_json({"tags": {"a": "b"}})
    tags = {"a": "b", "kedja_receipt": "digits/0123456789abcdef", "kedja_folder": "digits"}
    assert document(spec)["tags"] == tags


@pytest.fixture(scope="module")
def load_job() -> Callable[..., Any]:
    """Azure ML's own loader, which takes seconds to import."""
    azure_ml = pytest.importorskip("azure.ai.ml")
    logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)
    loader: Callable[..., Any] = azure_ml.load_job
    return loader


@pytest.mark.parametrize(
    "text",
    ["", COMMAND, "environment: {image: x}", "distribution: {type: pytorch}", "distribution: {type: tensorflow}"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_azure_ml_takes_the_command_job(load_job: Callable[..., Any], text: str) -> None:
    values = document(parse_job_yaml(text))
    job = load_job(io.StringIO(json.dumps(values)))
    assert job.command == values["command"]
    assert job.experiment_name == "digits"
    assert job.inputs["data"].path == "azureml://datastores/kedja_data/paths/digits/"
    assert "kedja" not in values
    if text == COMMAND:
        assert job.inputs["data"].mode == "ro_mount"
        assert (job.resources.instance_count, job.resources.shm_size) == (2, "8g")
        assert (job.limits.timeout, job.distribution.type, job.queue_settings.job_tier) == (60, "mpi", "spot")
        assert job.environment_variables == {"A": "1", "B": "yes"}
        assert job.outputs["log"].type == "uri_file"
        assert job.compute.endswith("big")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_azure_ml_takes_the_sweep_job(load_job: Callable[..., Any]) -> None:
    values = document(parse_job_yaml(SWEEP))
    job = load_job(io.StringIO(json.dumps(values)))
    assert job.trial.command == f'{LAUNCH} -- python train.py --lr "${{{{search_space.lr}}}}"'
    assert job.search_space["lr"].min_value == 0.00001
    assert job.search_space["unit"].values == [100, 500, 2.5, "text"]
    assert (job.objective.goal, job.objective.primary_metric) == ("maximize", "accuracy")
    assert (job.limits.max_total_trials, job.limits.trial_timeout) == (4, 90)
    assert (job.early_termination.slack_factor, job.early_termination.evaluation_interval) == (0.1, 1)
    assert (job.sampling_algorithm.rule, job.sampling_algorithm.seed) == ("sobol", 3)
    assert job.trial.environment.image == "docker.io/a/b:1"


@pytest.mark.parametrize("prefix", ["", SWEEP.replace("kedja:", "unused:").split("unused:")[0]])
def test_export_options_reach_the_job_beside_its_own_variables(prefix: str) -> None:
    own = "" if prefix else "environment_variables: {A: 1}\n"
    options = "kedja: {export: {onnx: required, network: encoder, parity: {rtol: 0.01}}}"
    made = document(parse_job_yaml(f"{prefix}{own}{options}"))
    variables = made.get("trial", made)["environment_variables"]
    assert json.loads(variables.pop("KEDJA_EXPORT")) == {
        "onnx": "required",
        "network": "encoder",
        "parity": {"rtol": 0.01},
    }
    assert variables == ({} if prefix else {"A": "1"})


@pytest.mark.parametrize("text", ["", "kedja: {export: {onnx: auto, parity: {}}}"])
def test_default_export_options_add_no_variable(text: str) -> None:
    assert "environment_variables" not in document(parse_job_yaml(text))

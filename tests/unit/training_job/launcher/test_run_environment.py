import os

import pytest
from pytest_mock import MockerFixture

from tests.unit.training_job.drops import Drop
from training_job.launcher import run_environment


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py", {}),
        ("python train.py --epochs 10 -b=5 --fast --lr -0.1 --out ./o",
         {"epochs": "10", "b": "5", "fast": "true", "lr": "-0.1", "out": "./o"}),
        ("python -m pkg.train --gpu_id -1 -- x", {"gpu_id": "-1"}),
    ],
)  # fmt: skip
def test_parameters_of_a_command(command: str, expected: dict[str, str]) -> None:
    assert run_environment.parameters(command.split()) == expected


def test_versions_and_gpus(mocker: MockerFixture) -> None:
    mocker.patch("subprocess.run").return_value.stdout = "Tesla T4\nTesla T4\n"
    tags = run_environment.tags()
    assert tags["environment.chainer"] == "7.8.1"
    assert tags["environment.gpu"] == "Tesla T4, Tesla T4"
    assert {"environment.python", "environment.numpy", "environment.platform"} <= set(tags)


def test_without_a_driver_there_is_no_gpu(mocker: MockerFixture) -> None:
    mocker.patch("subprocess.run", side_effect=FileNotFoundError)
    assert "environment.gpu" not in run_environment.tags()


@pytest.mark.timeout(60)
def test_a_script_starts_while_nvidia_smi_runs(drop: Drop) -> None:
    # This nvidia-smi answers what the script writes, so neither of them ends without the other.
    pipe, program = drop.root / "pipe", drop.root / "bin/nvidia-smi"
    os.mkfifo(pipe)
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nread gpu < {pipe}\necho $gpu\n")
    program.chmod(0o755)
    drop.scripts = {"train.py": f"open({str(pipe)!r}, 'w').write('A GPU')"}
    ended = drop.launch("python", "train.py", PATH=os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    assert (ended.code, ended.errors) == (0, "")

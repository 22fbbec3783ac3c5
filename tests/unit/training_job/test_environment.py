"""The files of the image that jobs on Azure ML run in. tests/end_to_end installs the packages."""

import re

from tests.unit.training_job.drops import ROOT

FOLDER = ROOT / "training_job/environment"


def test_the_base_image_never_moves() -> None:
    (image,) = re.findall(r"^FROM (\S+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"mcr\.microsoft\.com/azureml/openmpi5\.0-cuda12\.\d-ubuntu22\.04:20\d{6}\.v\d+", image)


def test_every_package_is_pinned_and_has_hashes() -> None:
    text = (FOLDER / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 30
    assert [line for line in lines if not re.match(r"[a-z0-9.-]+==\S+( ;.*?)? +--hash=sha256:[0-9a-f]{64}", line)] == []


def test_it_has_what_a_job_needs() -> None:
    text = (FOLDER / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))
    assert pins["chainer"] == "7.8.1"
    assert int(pins["numpy"].partition(".")[0]) >= 2
    assert {"azureml-mlflow", "cupy-cuda12x", "mlflow-skinny", "mpi4py", "onnx", "packaging", "pillow"} <= set(pins)


def test_chainer_is_built_with_a_setuptools_that_it_knows() -> None:
    assert (FOLDER / "build-constraints.txt").read_text().startswith("setuptools<81")
    assert "PIP_BUILD_CONSTRAINT" in (FOLDER / "Dockerfile").read_text()

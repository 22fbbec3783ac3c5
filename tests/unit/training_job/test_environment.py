"""The files of the image that jobs on Azure ML run in, and what a job finds in its environment."""

import re
import tomllib

import pytest

from tests.unit.training_job.drops import ROOT, Drop

FOLDER = ROOT / "training_job/environment"
LOCKS = ("requirements.txt", "requirements-cpu.txt")

MODULES = {
    "chainer": "chainer, chainermn, onnx_chainer",
    "chardet": "chardet",
    "clevercsv": "clevercsv",
    "docopt": "docopt",
    "fastparquet": "fastparquet",
    "future": "future, past",
    "gym": "gym, gym.wrappers",
    "h5py": "h5py",
    "imageio": "imageio",
    "matplotlib": "matplotlib.pyplot, mpl_toolkits.mplot3d",
    "mlflow-skinny": "mlflow.version",
    "mpi4py": "mpi4py",
    "networkx": "networkx",
    "nltk": "nltk",
    "numpy": "numpy",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "opencv-python-headless": "cv2",
    "packaging": "packaging.version",
    "pandas": "pandas",
    "pillow": "PIL.Image",
    "pip": "pip",
    "progressbar2": "progressbar",
    "pygame": "pygame",
    "pyyaml": "yaml",
    "scikit-image": "skimage.io, skimage.transform",
    "scikit-learn": "sklearn.datasets, sklearn.metrics",
    "scipy": "scipy.io, scipy.misc, scipy.ndimage",
    "seaborn": "seaborn",
    "six": "six.moves",
    "tqdm": "tqdm",
}
"""Of each package of the group `training` in pyproject.toml, what scripts import."""


def pins(lock: str) -> dict[str, tuple[int, ...]]:
    """Return the version of each package in a lock, as its leading numbers."""
    lines = re.findall(r"^([a-z0-9.-]+)==([0-9.]+)", (FOLDER / lock).read_text(), re.MULTILINE)
    return {name: tuple(int(part) for part in version.strip(".").split(".")) for name, version in lines}


def test_the_base_image_never_moves() -> None:
    (image,) = re.findall(r"^FROM (\S+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert re.fullmatch(r"mcr\.microsoft\.com/azureml/openmpi5\.0-cuda12\.\d-ubuntu22\.04:20\d{6}\.v\d+", image)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_and_has_hashes(lock: str) -> None:
    text = (FOLDER / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 30
    assert [line for line in lines if not re.match(r"[a-z0-9.-]+==\S+( ;.*?)? +--hash=sha256:[0-9a-f]{64}", line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_it_has_the_versions_that_old_scripts_need(lock: str) -> None:
    found = pins(lock)
    assert set(MODULES) <= set(found)
    assert found["chainer"] == (7, 8, 1)
    assert (2, 1) <= found["numpy"] < (2, 4)
    assert (2, 2, 3) <= found["pandas"] < (3,)
    assert found["opencv-python-headless"] < (5,)
    assert found["gym"] == (0, 22, 0)


def test_a_gpu_node_has_what_cupy_uses_beside_cuda() -> None:
    found = pins("requirements.txt")
    assert {"azureml-mlflow", "nvidia-nccl-cu12"} <= set(found)
    assert (13, 6) <= found["cupy-cuda12x"] < (14,)
    assert (8, 8, 1) <= found["nvidia-cudnn-cu12"] < (9,)
    # CUDA itself is the base image's, and the list is installed as it is.
    assert not {"nvidia-cublas-cu12", "nvidia-cuda-nvrtc-cu12"} & set(found)
    assert "--no-deps" in (FOLDER / "Dockerfile").read_text()


def test_chainer_is_built_with_a_setuptools_that_it_knows() -> None:
    assert (FOLDER / "build-constraints.txt").read_text().startswith("setuptools<81")
    assert "PIP_BUILD_CONSTRAINT" in (FOLDER / "Dockerfile").read_text()


def test_what_scripts_import_is_listed_here() -> None:
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["training"]
    assert {re.split("[<>=]", line)[0] for line in group} == set(MODULES)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_documentation_has_the_versions(lock: str) -> None:
    text = (ROOT / "docs/training.md").read_text().partition("## Packages")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([0-9]\S*) \|", text, re.MULTILINE))
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (FOLDER / lock).read_text(), re.MULTILINE))
    assert set(MODULES) - {"mlflow-skinny", "packaging", "pip"} <= set(rows)
    assert {name: version for name, version in rows.items() if pinned.get(name, version) != version} == {}


def test_a_script_can_import_what_its_time_had(drop: Drop) -> None:
    drop.scripts = {"train.py": "\n".join(f"import {modules}" for modules in MODULES.values())}
    ended = drop.launch("python", "train.py")
    assert ended.code == 0, ended.errors


PICTURES = """
    import chainer, gym, matplotlib.pyplot as plt
    plt.plot([1, 2])
    plt.savefig("outputs/curve.png")
    print(plt.get_backend())
    cart = gym.make("CartPole-v1")
    cart.reset()
    print(cart.render("rgb_array").shape)
    """


def test_a_script_draws_without_a_display(drop: Drop) -> None:
    drop.scripts = {"train.py": PICTURES}
    ended = drop.launch("python", "train.py", DISPLAY="")
    assert ended.output.splitlines()[-2:] == ["agg", "(400, 600, 3)"], ended.errors
    assert ended.files == ["curve.png"]


def test_a_job_chooses_another_backend_of_matplotlib(drop: Drop) -> None:
    drop.scripts = {"train.py": "import matplotlib; print(matplotlib.get_backend())"}
    assert drop.launch("python", "train.py", MPLBACKEND="svg").output.strip() == "svg"

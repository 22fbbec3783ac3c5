"""The environment that a packaged model needs, as MLflow describes it: for pip, conda and virtualenv.

Format: https://mlflow.org/docs/latest/ml/model/#additional-logged-files. Chainer is not among the packages.
"""

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

_OF_PACKAGE = {"mlflow": "mlflow-skinny", "numpy": "numpy", "onnxruntime": "onnxruntime", "pandas": "pandas"}
"""Packages that load the model, each with the package of the job's environment that has its version."""
_AT_LEAST = {"mlflow": ">=3.1,<4", "numpy": ">=1.26", "onnxruntime": ">=1.17", "pandas": ">=2,<3"}
"""Used if the job's environment lacks a package. MLflow hands ONNX Runtime no texts from the columns of pandas 3."""
OF_AZURE = (
    "azureml-ai-monitoring>=1.0",
    "azureml-inference-server-http>=1.5",
    "inference-schema[numpy-support,pandas-support]>=1.8",
)
"""What Azure ML's scoring script for MLflow models imports beside MLflow, and what runs it."""
_BUILD = ("pip", "setuptools", "wheel")
_NEXT_PANDAS = 3


def mlflow_version() -> str:
    """Return the version of MLflow whose format is written."""
    return _version("mlflow") or "3.1.0"


def requirements() -> list[str]:
    """Return the lines of requirements.txt, the packages that load the model before Azure's."""
    own = [f"{name}=={found}" if (found := _version(name)) else f"{name}{_AT_LEAST[name]}" for name in _OF_PACKAGE]
    return [*own, *OF_AZURE]


def files() -> Mapping[str, Any]:
    """Return the content of `requirements.txt` (a list of lines), `conda.yaml` and `python_env.yaml` (documents)."""
    lines, python = requirements(), platform.python_version()
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": lines}],
    }
    virtual = {"python": python, "build_dependencies": [*_BUILD], "dependencies": ["-r requirements.txt"]}
    return {"requirements.txt": lines, "conda.yaml": conda, "python_env.yaml": virtual}


def _version(name: str) -> str | None:
    try:
        version = metadata.version(_OF_PACKAGE[name])
    except metadata.PackageNotFoundError:
        return None
    if name == "pandas" and int(version.partition(".")[0]) >= _NEXT_PANDAS:
        return None
    return version

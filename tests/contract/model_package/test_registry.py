"""A package that was registered on one machine is loaded from MLflow's registry."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from function_app.ports.training_service import JobStatus
from tests.contract.azure_ml.job_requests import registration
from tests.contract.backend import Backend
from tests.contract.local_backend import LocalBackend
from tests.contract.model_package import networks
from tests.contract.model_package.packages import package

pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")


@pytest.mark.parametrize("backend", ["local"], indirect=True)
def test_the_registered_folder_is_loaded_by_its_name(backend: Backend, name: str, model: str, tmp_path: Path) -> None:
    import mlflow.pyfunc  # noqa: PLC0415 - slow

    folder = package(tmp_path, networks.scores)
    files = {f"package/{path.name}": path.read_bytes() for path in folder.iterdir() if path.is_file()}
    backend.service.submit(backend.job(name, outputs=files))
    backend.run_until(name, JobStatus.COMPLETED)
    made = registration(model, name, path="outputs/package", is_mlflow=True)
    assert backend.service.register_model(made).version == "1"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(cast("LocalBackend", backend).service.mlflow.address)
    try:
        loaded = mlflow.pyfunc.load_model(f"models:/{model}/1")
    finally:
        mlflow.set_tracking_uri(before)
    with np.load(folder / "model-parity.npz") as arrays:
        np.testing.assert_allclose(loaded.predict(arrays["inputs/x"])["y"], arrays["outputs/y"], rtol=1e-5)

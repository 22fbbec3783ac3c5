from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from attrs import evolve

from function_app.azure.ml_service import AzureMLService
from function_app.errors import TrainingServiceUnavailable
from function_app.ports.training_service import JobRequest, TrainingService
from tests.contract.azure_ml.job_requests import registration
from tests.contract.azure_ml_backend import AzureMLBackend, document
from tests.contract.control_plane.plane import ControlPlane

ASKS: dict[str, Callable[[TrainingService], object]] = {
    "submit": lambda service: service.submit(JobRequest(name="busy", document=document("python train.py"))),
    "get": lambda service: service.get("busy"),
    "list": lambda service: [*service.list()],
    "cancel": lambda service: service.cancel("busy"),
    "logs": lambda service: service.logs("busy"),
    "outputs": lambda service: service.outputs("busy"),
    "metrics": lambda service: service.metrics("busy"),
    "find_model": lambda service: service.find_model("busy", "busy"),
    "register_model": lambda service: service.register_model(registration("busy", "busy")),
    "archive_model": lambda service: service.archive_model("busy", "1"),
    "model_names": lambda service: service.model_names(),
    "models": lambda service: service.models(),
    "computes": lambda service: service.computes(),
}


class TestUnavailable:
    @pytest.mark.parametrize("ask", ASKS)
    @pytest.mark.parametrize("status", [429, 503])
    def test_is_what_every_call_may_raise(
        self, plane: ControlPlane, service: AzureMLService, ask: str, status: int
    ) -> None:
        plane.answer(status, headers={"Retry-After": "17"})
        with plane.recorded() as calls, pytest.raises(TrainingServiceUnavailable) as raised:
            ASKS[ask](service)
        assert raised.value.retry_after == 17.0
        assert len(calls) == 1, "a function does not sleep for as long as Retry-After says, to try again"

    def test_without_a_time(self, plane: ControlPlane, service: AzureMLService) -> None:
        plane.answer(500)
        with pytest.raises(TrainingServiceUnavailable) as raised:
            [*service.list()]
        assert raised.value.retry_after is None

    def test_until_a_date(self, plane: ControlPlane, service: AzureMLService) -> None:
        at = datetime.now(UTC) + timedelta(minutes=2)
        plane.answer(503, headers={"Retry-After": format_datetime(at, usegmt=True)})
        with pytest.raises(TrainingServiceUnavailable) as raised:
            service.computes()
        assert raised.value.retry_after == pytest.approx(120, abs=5)

    @pytest.mark.parametrize("ask", ["get", "computes"])
    def test_is_a_service_that_does_not_answer(self, azure: AzureMLBackend, ask: str) -> None:
        connection = azure.service.connection
        # Nothing listens on port 1; the cloud's name keeps this address apart from the stand-in's.
        nowhere = "https://127.0.0.1:1"
        metadata = dict.fromkeys(connection.options["cloud_metadata"], nowhere)
        options = {**connection.options, "cloud": "kedja-tests-nowhere", "cloud_metadata": metadata}
        workspace = evolve(connection.workspace, resource_manager=nowhere)
        service = evolve(azure.service, connection=evolve(connection, workspace=workspace, options=options))
        with pytest.raises(TrainingServiceUnavailable, match="cannot be reached"):
            ASKS[ask](service)

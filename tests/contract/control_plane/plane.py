"""A stand-in for the control plane of one Azure ML workspace, with as much of it as Kedja asks for.

Its shapes are those of the published REST types: Workspace, JobBase, ModelVersion, ModelContainer and ComputeResource
of Microsoft.MachineLearningServices (azure-rest-api-specs), RunDetails of the run history, GetRun of MLflow's REST API.
It shows how the client library is used. It is not Azure ML: no identity is checked, and nothing is trained.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from azure.storage.blob import BlobServiceClient

from tests.contract.control_plane.calls import Answer, Call, Switchboard, error
from tests.contract.control_plane.certificate import make_certificate
from tests.contract.control_plane.jobs import Jobs
from tests.contract.control_plane.models import Models
from tests.contract.control_plane.resource import PROVIDER, Resource, page_of, resource, user_error
from tests.contract.control_plane.server import serving

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = "rg-kedja"
NAME = "mlw-kedja"
ARM_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{PROVIDER}/{NAME}"
CODE_ID = f"{ARM_ID}/codes/training-job/versions/1"


class ControlPlane(Switchboard):
    """The stand-in. `base_url` is where it listens, `authority` the CA to trust, `computes` the clusters it has."""

    def __init__(self, storage: BlobServiceClient, authority: Path) -> None:
        super().__init__()
        self.authority = authority
        self.base_url = ""
        self.computes: dict[str, Resource] = {"gpu-cluster": cluster("gpu-cluster")}
        self._storage = storage

    @classmethod
    @contextmanager
    def running(cls, folder: Path, storage: str) -> Iterator[Self]:
        """Run one whose jobs keep logs and outputs in the account of the connection string `storage`."""
        certificate = make_certificate(folder)
        with BlobServiceClient.from_connection_string(storage) as client:
            plane = cls(client, certificate.authority)
            with serving(plane.handle, certificate) as base_url:
                plane._start(base_url)
                yield plane

    def _start(self, base_url: str) -> None:
        self.base_url = base_url
        self.jobs = Jobs(ARM_ID, base_url, self._storage, self.computes)
        self.models = Models(ARM_ID, base_url, self.jobs)
        arm, history, tracking = (
            re.escape(ARM_ID),
            re.escape(f"/history/v1.0{ARM_ID}"),
            re.escape(f"/mlflow/v1.0{ARM_ID}"),
        )
        name = "([^/]+)"
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Answer]]] = [
            (method, re.compile(path), handler)
            for method, path, handler in (
                ("GET", arm, self._workspace),
                ("GET", f"{arm}/jobs", self.jobs.list),
                ("PUT", f"{arm}/jobs/{name}", self.jobs.put),
                ("GET", f"{arm}/jobs/{name}", self.jobs.get),
                ("POST", f"{arm}/jobs/{name}/cancel", self.jobs.cancel),
                ("GET", f"{arm}/models", self.models.list),
                ("GET", f"{arm}/models/{name}", self.models.get_container),
                ("GET", f"{arm}/models/{name}/versions", self.models.list_versions),
                ("GET", f"{arm}/models/{name}/versions/{name}", self.models.get),
                ("PUT", f"{arm}/models/{name}/versions/{name}", self.models.put),
                ("GET", f"{arm}/computes", self._computes),
                ("GET", f"{history}/runs/{name}/details", self.jobs.details),
                ("PUT", f"{arm}/computes/{name}", self._put_compute),
                ("GET", f"{tracking}/api/2.0/mlflow/runs/get", self.jobs.metrics),
                ("GET", f"{tracking}/api/2.0/mlflow/metrics/get-history", self.jobs.history),
            )
        ]

    def handle(self, call: Call) -> Answer:
        """Answer a call: as a test has ordered, or as the service would."""
        return self.enter(call) or self._dispatch(call)

    def _dispatch(self, call: Call) -> Answer:
        if not call.authorized:
            return Answer(status=401, body=error("AuthenticationFailed", "The Authorization header is missing."))
        for method, path, handler in self._routes:
            found = path.fullmatch(call.path) if method == call.method else None
            if found:
                answer = handler(call, *found.groups())
                return self.leave(call) or answer
        return Answer(status=501, body=error("NotInTheStandIn", f"{call.method} {call.path}"))

    def _workspace(self, _: Call) -> Answer:
        host = self.base_url.removeprefix("https://")
        properties = {
            "workspaceId": "66666666-7777-8888-9999-000000000000",
            "friendlyName": NAME,
            "discoveryUrl": f"{self.base_url}/discovery",
            "mlFlowTrackingUri": f"azureml://{host}/mlflow/v1.0{ARM_ID}",
            "provisioningState": "Succeeded",
        }
        return Answer(status=200, body=resource(ARM_ID, properties, location="swedencentral", tags={}))

    def _computes(self, call: Call) -> Answer:
        return page_of(call, self.base_url, list(self.computes.values()))

    def _put_compute(self, call: Call, name: str) -> Answer:
        sent = call.body["properties"]
        if not str(sent["properties"]["vmSize"]).upper().startswith("STANDARD_"):
            return user_error(f"VM size {sent['properties']['vmSize']!r} is not supported in this region.")
        nodes = {**sent["properties"], "allocationState": "Steady", "currentNodeCount": 0}
        made = cluster(name, **nodes)
        made["properties"]["provisioningState"] = "Creating"
        self.computes[name] = {**made, **{key: call.body[key] for key in ("identity",) if key in call.body}}
        return Answer(status=201, body=self.computes[name])


def cluster(name: str, **more: object) -> Resource:
    """Return a ComputeResource of kind AmlCompute; `more` replaces what it says of its nodes."""
    nodes = {
        "vmSize": "STANDARD_NC4AS_T4_V3",
        "vmPriority": "Dedicated",
        "scaleSettings": {"maxNodeCount": 4, "minNodeCount": 0, "nodeIdleTimeBeforeScaleDown": "PT2M"},
        "remoteLoginPortPublicAccess": "Disabled",
        "allocationState": "Steady",
        "currentNodeCount": 0,
        "targetNodeCount": 0,
        "errors": None,
        **more,
    }
    properties = {"computeType": "AmlCompute", "provisioningState": "Succeeded", "properties": nodes}
    return resource(f"{ARM_ID}/computes/{name}", properties, location="swedencentral")

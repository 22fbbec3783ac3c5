"""Azure ML in the contract suite: the real client library over HTTPS, against the stand-in of the control plane."""

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from attrs import evolve, field, frozen
from azure.core.credentials import AccessToken
from azure.storage.blob import ContainerClient

from function_app.azure.ml_service import AzureMLService
from function_app.azure.ml_workspace import Connection, Workspace
from function_app.ports.training_service import RECEIPT_TAG, BlobFolder, Job, JobRequest, JobStatus
from tests.contract.control_plane.plane import CODE_ID, GROUP, NAME, SUBSCRIPTION, ControlPlane

_CLOUD = "AZUREML_CURRENT_CLOUD"
_numbers = itertools.count()


_TOKEN = jwt.encode({"tid": "99999999-8888-7777-6666-555555555555"}, "", algorithm="none")
"""The client library looks for the tenant in it."""


class Credential:
    """Gives a token that nobody checks."""

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        return AccessToken(_TOKEN, int(time.time()) + 3600)


@frozen(kw_only=True)
class _Wants:
    """What a job is to do, told to the stand-in when its time comes."""

    log: str
    metrics: Mapping[str, float]
    outputs: Mapping[str, bytes]
    exit_code: int
    hold: bool


@frozen(kw_only=True)
class AzureMLBackend:
    """See `tests.contract.backend.Backend`. `plane` is the stand-in, for tests of the calls themselves."""

    service: AzureMLService
    plane: ControlPlane
    storage: str
    _wants: dict[str, _Wants] = field(factory=dict, init=False)
    _started: set[str] = field(factory=set, init=False)

    def job(
        self,
        name: str,
        *,
        experiment: str = "digits",
        receipt: str | None = "digits/0123456789abcdef",
        tags: Mapping[str, str] | None = None,
        log: str = "",
        metrics: Mapping[str, float] | None = None,
        outputs: Mapping[str, bytes] | None = None,
        exit_code: int = 0,
        hold: bool = False,
    ) -> JobRequest:
        self._wants.setdefault(
            name, _Wants(log=log, metrics=metrics or {}, outputs=outputs or {}, exit_code=exit_code, hold=hold)
        )
        return JobRequest(name=name, document=document(f"echo {log!r}", experiment, receipt, tags))

    def refused_job(self, name: str) -> JobRequest:
        request = self.job(name)
        return evolve(request, document={**request.document, "compute": "azureml:no-such-cluster"})

    def run_until(self, name: str, status: JobStatus) -> Job:
        self._go_on(name, status)
        job = self.service.get(name)
        assert job.status is status, f"job {name} is {job.detail}, and was to be {status}"
        return job

    def release(self, name: str) -> None:
        self._wants[name] = evolve(self._wants[name], hold=False)

    def files(self, folder: BlobFolder) -> Mapping[str, bytes]:
        with ContainerClient.from_connection_string(self.storage, folder.container) as container:
            names = list(container.list_blob_names(name_starts_with=folder.prefix))
            return {name.removeprefix(folder.prefix): container.download_blob(name).readall() for name in names}

    def _go_on(self, name: str, status: JobStatus) -> None:
        """Do in the stand-in what the job would do until then."""
        wants, jobs = self._wants[name], self.plane.jobs
        if status is JobStatus.CANCELED:
            if jobs.status(name) == "CancelRequested":
                jobs.end(name, "Canceled")
            return
        if status is JobStatus.STARTING or self.service.get(name).status.is_final:
            return
        if name not in self._started:
            self._started.add(name)
            jobs.run(name, log=wants.log, metrics=wants.metrics)
        if status.is_final:
            assert not wants.hold, f"job {name} is held"
            jobs.end(name, "Failed" if wants.exit_code else "Completed", outputs=wants.outputs)


def document(
    command: str, experiment: str = "digits", receipt: str | None = "digits/0", tags: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a command job as `function_app.jobspec.schema` makes it."""
    return {
        "command": command,
        "environment": "azureml:kedja-chainer:1",
        "compute": "azureml:gpu-cluster",
        "experiment_name": experiment,
        "inputs": {
            "scripts": {
                "type": "uri_folder",
                "path": f"azureml://datastores/kedja_snapshots/paths/{experiment}/0/",
                "mode": "download",
            }
        },
        "tags": {**(tags or {}), **({RECEIPT_TAG: receipt} if receipt else {})},
    }


@contextmanager
def service_of(plane: ControlPlane) -> Iterator[AzureMLService]:
    """Point the real client library at the stand-in.

    It knows other clouds by a name, which cannot be given anew in a process, and keeps the last one in the environment.
    """
    cloud = {
        "azure_portal": "https://portal.azure.com/",
        "resource_manager": plane.base_url,
        "active_directory": plane.base_url,
        "aml_resource_id": plane.base_url,
        "storage_endpoint": "core.windows.net",
        "registry_discovery_endpoint": plane.base_url,
    }
    workspace = Workspace(
        subscription_id=SUBSCRIPTION,
        resource_group=GROUP,
        name=NAME,
        code_id=CODE_ID,
        resource_manager=plane.base_url,
    )
    options = {
        "cloud": f"kedja-tests-{next(_numbers)}",
        "cloud_metadata": cloud,
        "connection_verify": str(plane.authority),
    }
    before = os.environ.get(_CLOUD)
    try:
        yield AzureMLService(connection=Connection(workspace=workspace, credential=Credential(), options=options))
    finally:
        os.environ.pop(_CLOUD, None)
        if before is not None:
            os.environ[_CLOUD] = before


@contextmanager
def running(folder: Path, storage: str) -> Iterator[AzureMLBackend]:
    """Run the stand-in and a service that uses it."""
    with ControlPlane.running(folder, storage) as plane, service_of(plane) as service:
        yield AzureMLBackend(service=service, plane=plane, storage=storage)

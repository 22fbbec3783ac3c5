"""The Azure ML workspace that Kedja uses: which one it is, and how to call it.

The client library is imported in the call that needs it: that takes up to 2 s and some 1,700 modules, and most
invocations of the app make no call to Azure ML.
"""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from attrs import field, frozen
from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import ClientAuthenticationError, DecodeError, ResourceNotFoundError, map_error
from azure.core.pipeline.policies import BearerTokenCredentialPolicy, ContentDecodePolicy, RetryPolicy
from azure.core.rest import HttpRequest, HttpResponse

from function_app.azure.ml_errors import AnswerTooLong
from function_app.errors import InvalidSettings

API_VERSION = "2025-12-01"
"""API version of calls without `azure-ai-ml`, which chooses its own for each operation."""

# A function has only seconds, and its message is delivered again anyway: one retry if there was no connection, none
# after a bad status (the library would sleep for as long as Retry-After says), and short timeouts.
RETRY_OPTIONS: Mapping[str, Any] = {
    "retry_total": 1,
    "retry_connect": 1,
    "retry_read": 0,
    "retry_status": 0,
    "connection_timeout": 5,
    "read_timeout": 30,
}

LARGEST_ANSWER = 16 << 20
"""Max bytes of a response: enough for more than 100,000 metrics."""

_CODE_VERSION = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices"
    r"/workspaces/[^/]+/codes/[^/]+/versions/[^/]+",
    re.IGNORECASE,
)
_SETTINGS = {
    "subscription_id": "KEDJA_WORKSPACE_SUBSCRIPTION_ID",
    "resource_group": "KEDJA_WORKSPACE_RESOURCE_GROUP",
    "name": "KEDJA_WORKSPACE_NAME",
    "code_id": "KEDJA_TRAINING_CODE",
}


@frozen(kw_only=True)
class Workspace:
    """A workspace, and what in it belongs to this release.

    `code_id` is the ARM id of the code version that holds the release's `training_job`; `artifacts` is the blob
    container of the datastore `workspaceartifactstore`; `client_id` is the managed identity to use, or None for what
    `DefaultAzureCredential` finds; `resource_manager` differs in the clouds of China and the US government.
    """

    subscription_id: str
    resource_group: str
    name: str
    code_id: str
    artifacts: str = "azureml"
    client_id: str | None = None
    resource_manager: str = "https://management.azure.com"

    @property
    def arm_id(self) -> str:
        """The workspace's own ARM id, without a trailing slash."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read `KEDJA_WORKSPACE_SUBSCRIPTION_ID`, `…_RESOURCE_GROUP`, `…_NAME`, `KEDJA_TRAINING_CODE`.

        `AZURE_CLIENT_ID` is optional. `KEDJA_WORKSPACE_CONFIG` may name the `config.json` that Azure ML's studio offers
        for download (`subscription_id`, `resource_group`, `workspace_name`); variables take precedence over the file.

        Raises:
            InvalidSettings: Settings are missing, all of which the message names, or one is not valid.
        """
        values = _config_file(environ.get("KEDJA_WORKSPACE_CONFIG", ""))
        values |= {key: environ[variable] for key, variable in _SETTINGS.items() if environ.get(variable)}
        missing = [variable for key, variable in _SETTINGS.items() if not values.get(key)]
        if missing:
            raise InvalidSettings(
                f"Azure ML needs the settings {', '.join(missing)}: add them to the app's settings "
                "(azd and the Bicep files in infra/ do this)."
            )
        if not _CODE_VERSION.fullmatch(values["code_id"]):
            raise InvalidSettings(
                f"KEDJA_TRAINING_CODE is {values['code_id']!r}: it must be the ARM id of a code version, "
                "/subscriptions/…/workspaces/…/codes/<name>/versions/<version>."
            )
        return cls(client_id=environ.get("AZURE_CLIENT_ID") or None, **values)


def _config_file(path: str) -> dict[str, str]:
    if not path:
        return {}
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return {
            "subscription_id": content["subscription_id"],
            "resource_group": content["resource_group"],
            "name": content["workspace_name"],
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(
            f"KEDJA_WORKSPACE_CONFIG is {path!r}, which is not the config.json of a workspace ({error!r}): download it "
            "in the studio, or remove the setting and set KEDJA_WORKSPACE_SUBSCRIPTION_ID, …_RESOURCE_GROUP and …_NAME."
        ) from error


def default_credential(client_id: str | None) -> TokenCredential:
    """Return the managed identity with this client id, or what `DefaultAzureCredential` finds."""
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415  0.25 s to import

    return ManagedIdentityCredential(client_id=client_id) if client_id else DefaultAzureCredential()


@frozen(kw_only=True, eq=False)
class Connection:
    """The clients of one workspace, created when first needed, and shared by the threads of a host.

    `options` are passed to `MLClient`: `cloud`, `cloud_metadata`, `connection_verify`.
    """

    workspace: Workspace
    credential: TokenCredential
    options: Mapping[str, Any] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _made: dict[str, Any] = field(factory=dict, init=False)

    @property
    def ml(self) -> Any:  # noqa: ANN401  MLClient comes without type information
        """The `azure.ai.ml.MLClient` of the workspace."""
        with self._lock:
            if "ml" not in self._made:
                from azure.ai.ml import MLClient  # noqa: PLC0415  see the module's docstring

                self._made["ml"] = MLClient(
                    self.credential,
                    self.workspace.subscription_id,
                    self.workspace.resource_group,
                    self.workspace.name,
                    enable_telemetry=False,
                    show_progress=False,
                    **RETRY_OPTIONS,
                    **self.options,
                )
            return self._made["ml"]

    @property
    def tracking_url(self) -> str:
        """The HTTPS address of the workspace's MLflow tracking.

        The service names it `azureml://<region>.api.azureml.ms/mlflow/v1.0/subscriptions/…`; the MLflow REST API has
        the same address with https (azureml-examples, using-mlflow/using-rest-api).
        """
        if "tracking" not in self._made:
            uri = str(self.ml.workspaces.get(self.workspace.name).mlflow_tracking_uri)
            self._made["tracking"] = "https://" + uri.removeprefix("azureml://")
        return str(self._made["tracking"])

    @property
    def history_url(self) -> str:
        """The address of the workspace's run history, on the host that serves its tracking."""
        host = self.tracking_url.removeprefix("https://").split("/", 1)[0]
        return f"https://{host}/history/v1.0{self.workspace.arm_id}"

    def resources(self, path: str) -> Iterator[Mapping[str, Any]]:
        """Yield the resources under the workspace's `path`, such as `computes`, page after page."""
        page = self.get_json(
            f"{self.workspace.resource_manager}{self.workspace.arm_id}/{path}?api-version={API_VERSION}"
        )
        yield from page["value"]
        while page.get("nextLink"):
            page = self.get_json(page["nextLink"])
            yield from page["value"]

    def get_json(self, url: str, params: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Return the response of a GET with Kedja's identity. Raises what `azure.core` raises."""
        response: HttpResponse = self._pipeline.send_request(HttpRequest("GET", url, params=params), stream=True)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            response.read()
        map_error(response.status_code, response, {401: ClientAuthenticationError, 404: ResourceNotFoundError})
        response.raise_for_status()
        content: Mapping[str, Any] = _limited_json(response)
        return content

    def put_json(self, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the response of a PUT, without waiting for its operation. Raises what `azure.core` raises."""
        response: HttpResponse = self._pipeline.send_request(HttpRequest("PUT", url, json=body))
        map_error(response.status_code, response, {401: ClientAuthenticationError, 404: ResourceNotFoundError})
        response.raise_for_status()
        content: Mapping[str, Any] = response.json()
        return content

    @property
    def _pipeline(self) -> PipelineClient[HttpRequest, HttpResponse]:
        with self._lock:
            if "pipeline" not in self._made:
                # The audience of Azure's resource manager is valid for the workspace's own endpoints too
                # (learn.microsoft.com, "Create, run, and delete Azure Machine Learning resources using REST").
                scope = f"{self.workspace.resource_manager}/.default"
                verify = {key: value for key, value in self.options.items() if key == "connection_verify"}
                self._made["pipeline"] = PipelineClient(
                    self.workspace.resource_manager,
                    policies=[
                        RetryPolicy(**RETRY_OPTIONS),
                        BearerTokenCredentialPolicy(self.credential, scope),
                        ContentDecodePolicy(),
                    ],
                    **RETRY_OPTIONS,
                    **verify,
                )
            pipeline: PipelineClient[HttpRequest, HttpResponse] = self._made["pipeline"]
            return pipeline


def _limited_json(response: HttpResponse) -> Any:  # noqa: ANN401 - whatever JSON the service sent
    """Return the JSON of a response, up to a limit: it contains what jobs have logged, which may be of any length."""
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LARGEST_ANSWER:
            response.close()
            raise AnswerTooLong(f"its response has more than {LARGEST_ANSWER} bytes")
    try:
        return json.loads(body)
    except ValueError as error:
        raise DecodeError(message=f"JSON is invalid: {error}", response=response, error=error) from error

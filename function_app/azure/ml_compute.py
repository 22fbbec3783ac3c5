"""Creating clusters in an Azure ML workspace: https://learn.microsoft.com/rest/api/azureml/compute/create-or-update."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from azure.core.exceptions import HttpResponseError

from function_app.azure.ml_errors import translate_errors
from function_app.azure.ml_mapping import compute_of
from function_app.azure.ml_workspace import API_VERSION, Connection
from function_app.errors import AppNotAllowed, ComputeRefused
from function_app.ports.training_service import Compute

IDLE = "PT120S"
"""How long a node stays up while it waits for the next job (ISO 8601)."""

_ROLES = (
    "give it AzureML Compute Operator on the workspace, Managed Identity Operator on the identity of the jobs, and "
    "Network Contributor on the cluster's network if it has one"
)
_KEPT = ("vmPriority", "remoteLoginPortPublicAccess", "enableNodePublicIp", "isolatedNetwork", "subnet", "osType")
"""Properties that a new cluster takes over from the workspace's others: how its nodes are reached, and from where."""


def create_compute(connection: Connection, name: str, *, size: str, max_nodes: int) -> Compute:
    """Create a cluster, or change its max number of nodes.

    Raises:
        AppNotAllowed: The app's identity lacks a role for it.
        ComputeRefused: Azure ML refuses the cluster, it exists with another size, or there is no cluster to copy from.
        TrainingServiceUnavailable: Azure ML did not answer.
    """
    what = f"Compute {name!r} cannot be created"
    with translate_errors(what):
        clusters = [each for each in connection.resources("computes") if compute_of(each) is not None]
    there = next((each for each in clusters if each["name"] == name), None)
    if there is not None and _nodes(there).get("vmSize", "").casefold() != size.casefold():
        raise ComputeRefused(f"{what}: it exists already, with the size {_nodes(there).get('vmSize')}.")
    if there is None and not clusters:
        raise ComputeRefused(f"{what}: the workspace has no other cluster to copy the setup of its nodes from.")
    like = there or clusters[0]
    path = f"{connection.workspace.resource_manager}{connection.workspace.arm_id}/computes/{name}"
    with translate_errors(what, refused=ComputeRefused):
        try:
            made = connection.put_json(f"{path}?api-version={API_VERSION}", _body(like, size, max_nodes))
        except HttpResponseError as error:
            if error.status_code == HTTPStatus.FORBIDDEN:
                raise AppNotAllowed(f"{what}: the app's identity may not create computes; {_ROLES}.") from error
            raise
    found = compute_of(made)
    if found is None:
        raise ComputeRefused(f"{what}: Azure ML returned a compute of another type.")
    return found


def _nodes(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    return resource["properties"].get("properties") or {}


def _body(like: Mapping[str, Any], size: str, max_nodes: int) -> dict[str, Any]:
    nodes = {key: _nodes(like)[key] for key in _KEPT if _nodes(like).get(key) is not None}
    scale = {"minNodeCount": 0, "maxNodeCount": max_nodes, "nodeIdleTimeBeforeScaleDown": IDLE}
    body: dict[str, Any] = {
        "location": like["location"],
        "properties": {
            "computeType": "AmlCompute",
            "disableLocalAuth": True,
            "properties": {**nodes, "vmSize": size, "scaleSettings": scale},
        },
    }
    if identity := like.get("identity"):
        given: dict[str, dict[str, str]] = {each: {} for each in identity.get("userAssignedIdentities") or {}}
        body["identity"] = {"type": identity["type"], **({"userAssignedIdentities": given} if given else {})}
    return body

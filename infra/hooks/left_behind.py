"""What a deployment leaves behind, as it adds and changes and never deletes: role assignments, and the cluster."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from attrs import frozen

from infra.hooks.errors import Refusal, ReleaseError
from infra.hooks.resource_manager import MACHINE_LEARNING, ResourceManager
from infra.hooks.target import Target

_INFRA = Path(__file__).parents[1]

HOLDERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "data": {"blobDataContributor": ("dataWriters", "deployer")},
    "scripts": {"blobDataContributor": ("scriptWriters",)},
    "receipts": {"blobDataContributor": ("administrators", "deployer"), "blobDataReader": ("readers",)},
    "models": {"blobDataReader": ("readers",)},
    "releases": {"blobDataContributor": ("deployer",)},
}
"""Who holds which role on which container, by the names of main.bicep's parameters: what people.bicep assigns."""


@frozen(kw_only=True)
class Deployed:
    """What the last deployment was asked for: the output KEDJA_DEPLOYED of main.bicep."""

    parameters: Mapping[str, Any]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read KEDJA_DEPLOYED.

        Raises:
            ReleaseError: It is not set, or is not JSON.
        """
        try:
            return cls(parameters=json.loads(environ.get("KEDJA_DEPLOYED", "")))
        except json.JSONDecodeError as error:
            raise ReleaseError(f"KEDJA_DEPLOYED is no JSON: {error}. It is an output of main.bicep.") from error

    def principals(self, parameter: str) -> set[str]:
        """Return the object ids in a list of Type:objectId."""
        entries = str(self.parameters[parameter]).replace(" ", "").split(",")
        return {entry.partition(":")[2].lower() for entry in entries if entry}


@frozen(kw_only=True)
class LeftBehind:
    """Compares one installation with what its deployment was asked for."""

    deployed: Deployed
    target: Target
    manager: ResourceManager

    def warnings(self) -> Iterator[str]:
        """Yield a line for each thing that somebody should look at, with what to do."""
        for container in HOLDERS:
            try:
                yield from self._unexplained(container)
            except Refusal as refusal:
                yield f"Who holds roles on {container} could not be listed: {refusal}"
        yield from self._another_cluster()
        if not self.deployed.parameters["alertEmails"].strip(" ,"):
            yield "Alerts and the budget's warnings reach nobody: set KEDJA_ALERT_EMAILS and provision again."

    def check_that_the_cluster_is_gone(self) -> None:
        """Make sure that no nodes can start where none were asked for.

        Raises:
            ReleaseError: where KEDJA_GPU_MAX_NODES is 0 and an earlier deployment's cluster is there.
        """
        if self.deployed.parameters["gpuMaxNodes"] == 0 and self._cluster():
            raise ReleaseError(
                f"KEDJA_GPU_MAX_NODES is 0, but the cluster of an earlier deployment is there and starts nodes. "
                f"Delete it: {self._delete_cluster()}"
            )

    def _unexplained(self, container: str) -> Iterator[str]:
        roles = _json("roles/definitions.json")
        scope = self.target.container_id(_json("names.json")["containers"][container])
        expected = {
            (principal, roles[role])
            for role, lists in HOLDERS[container].items()
            for each in lists
            for principal in self.deployed.principals(each)
        }
        titles = {identifier: name for name, identifier in roles.items()}
        for assignment in self.manager.role_assignments(scope):
            given = assignment["properties"]
            role = given["roleDefinitionId"].rpartition("/")[2].lower()
            if given["principalId"] in self.deployed.parameters["ownPrincipals"]:
                continue
            if (given["principalId"].lower(), role) not in expected:
                who = f"{given['principalType']} {given['principalId']}"
                yield (
                    f"{who} holds {titles.get(role, role)} on {container}, and no setting says so. "
                    f"To revoke it: az role assignment delete --ids {assignment['id']}"
                )

    def _another_cluster(self) -> Iterator[str]:
        asked = self.deployed.parameters
        cluster = self._cluster() if asked["gpuMaxNodes"] else {}
        found = cluster.get("properties", {}).get("properties", {})
        for setting, parameter, name in (
            ("KEDJA_GPU_SIZE", "gpuSize", "vmSize"),
            ("KEDJA_GPU_PRIORITY", "gpuPriority", "vmPriority"),
        ):
            if name in found and found[name].lower() != asked[parameter].lower():
                yield (
                    f"{setting} is {asked[parameter]}, but the cluster keeps {found[name]}. Delete it and provision "
                    f"again: {self._delete_cluster()}"
                )

    def _cluster(self) -> dict[str, Any]:
        compute = f"{self.target.workspace_id}/computes/{_json('names.json')['compute']}"
        return self.manager.call("GET", compute, MACHINE_LEARNING, missing=True)

    def _delete_cluster(self) -> str:
        return (
            f"az ml compute delete --name {_json('names.json')['compute']} --workspace-name {self.target.workspace} "
            f"--resource-group {self.target.group} --yes"
        )


@functools.cache
def _json(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_INFRA / path).read_text(encoding="utf-8"))
    return content

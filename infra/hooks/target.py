"""The installation that a release goes to."""

from collections.abc import Mapping
from typing import Self

import httpx
from attrs import fields, frozen

from infra.hooks.errors import ReleaseError


@frozen(kw_only=True)
class Target:
    """The installation, as azd's environment describes it."""

    subscription: str
    group: str
    workspace: str
    container: str
    blobs: str
    app: str
    url: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Self:
        """Read AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP and five outputs of main.bicep.

        Raises:
            ReleaseError: naming all that are not set.
        """
        variables = {
            "subscription": "AZURE_SUBSCRIPTION_ID",
            "group": "AZURE_RESOURCE_GROUP",
            "workspace": "KEDJA_WORKSPACE_NAME",
            "container": "KEDJA_RELEASES_CONTAINER",
            "blobs": "KEDJA_BLOB_ENDPOINT",
            "app": "KEDJA_FUNCTION_APP",
            "url": "KEDJA_URL",
        }
        missing = [variables[each.name] for each in fields(cls) if not environ.get(variables[each.name])]
        if missing:
            raise ReleaseError(f"Not set: {', '.join(missing)}. They are outputs of main.bicep: docs/deploy.md.")
        return cls(**{name: environ[variable] for name, variable in variables.items()})

    def arm(self, resource: str) -> str:
        """Return the resource ID of a provider's resource in the group."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{resource}"

    @property
    def workspace_id(self) -> str:
        """The resource ID of the workspace."""
        return self.arm(f"Microsoft.MachineLearningServices/workspaces/{self.workspace}")

    def container_id(self, container: str) -> str:
        """Return the resource ID of a container in the storage account."""
        account = httpx.URL(self.blobs).host.partition(".")[0]
        return self.arm(f"Microsoft.Storage/storageAccounts/{account}/blobServices/default/containers/{container}")

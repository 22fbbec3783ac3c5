"""Azure's names for what the Bicep makes, and where the app's settings stand in it."""

from collections.abc import Mapping
from typing import Any

from tests.infra.bicep import Choice, Infra

ACCOUNT = "Microsoft.Storage/storageAccounts"
CONTAINER = f"{ACCOUNT}/blobServices/containers"
QUEUE = f"{ACCOUNT}/queueServices/queues"
SUBSCRIPTION = "Microsoft.EventGrid/systemTopics/eventSubscriptions"
ROLE = "Microsoft.Authorization/roleAssignments"
SITE = "Microsoft.Web/sites"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
VAULT = "Microsoft.KeyVault/vaults"
REGISTRY = "Microsoft.ContainerRegistry/registries"
TOPIC = "Microsoft.EventGrid/topics"
SYSTEM_TOPIC = "Microsoft.EventGrid/systemTopics"
LOGS = "Microsoft.OperationalInsights/workspaces"
DIAGNOSTICS = "/providers/diagnosticSettings"

HAVE_DIAGNOSTICS = (
    f"{ACCOUNT}/blobServices",
    f"{ACCOUNT}/queueServices",
    f"{ACCOUNT}/tableServices",
    LOGS,
    VAULT,
    REGISTRY,
    WORKSPACE,
    SITE,
    TOPIC,
    SYSTEM_TOPIC,
    "Microsoft.Network/networkSecurityGroups",
)
LOCKED = Choice("isPrivate", "Disabled", "Enabled")


def settings(infra: Infra) -> Mapping[str, Any]:
    """Return the app settings as the Bicep writes them."""
    found = [each for each in infra.made(f"{SITE}/config") if each.name == "appsettings"]
    assert len(found) == 1, "one resource writes the app settings"
    return found[0].properties

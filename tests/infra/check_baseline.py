"""The security baseline, and private mode."""

import re
from collections import defaultdict
from datetime import UTC, datetime

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from function_app.drops import uploads
from function_app.http import idempotency
from function_app.jobs.slots import QUEUED, RUNNING_BLOB
from function_app.operations import retention, walk
from function_app.operations.reconciliation import CURSOR
from function_app.operations.replay import REPLAYED
from function_app.store import journal
from tests.infra.bicep import Choice, Infra, Resource, Unknown
from tests.infra.kinds import (
    ACCOUNT,
    CONTAINER,
    DIAGNOSTICS,
    HAVE_DIAGNOSTICS,
    LOCKED,
    REGISTRY,
    SITE,
    SYSTEM_TOPIC,
    TOPIC,
    VAULT,
    WORKSPACE,
    settings,
)


def check_transport(infra: Infra) -> None:
    for account in infra.made(ACCOUNT):
        assert account.properties["minimumTlsVersion"] == "TLS1_2"
        assert account.properties["supportsHttpsTrafficOnly"] is True
    site = infra.one(SITE).properties
    assert site["httpsOnly"] is True
    assert site["siteConfig"]["minTlsVersion"] == site["siteConfig"]["scmMinTlsVersion"] == "1.2"
    assert site["siteConfig"]["ftpsState"] == "Disabled"
    assert site["siteConfig"]["remoteDebuggingEnabled"] is False
    assert infra.one(TOPIC).properties["minimumTlsVersionAllowed"] == "1.2"


def check_no_public_blobs(infra: Infra) -> None:
    for account in infra.made(ACCOUNT):
        assert account.properties["allowBlobPublicAccess"] is False
        assert account.properties["allowCrossTenantReplication"] is False
    for container in infra.made(CONTAINER):
        assert container.properties == {"publicAccess": "None"}, container.label


def check_deleted_things_come_back(infra: Infra) -> None:
    drops = infra["modules/storage.bicep"].made(f"{ACCOUNT}/blobServices")[0].properties
    assert drops["isVersioningEnabled"] is True
    for service in infra.made(f"{ACCOUNT}/blobServices"):
        assert service.properties["deleteRetentionPolicy"]["enabled"] is True
        assert service.properties["containerDeleteRetentionPolicy"]["enabled"] is True
    vault = infra.one(VAULT).properties
    assert vault["enableSoftDelete"] is True
    assert vault["enablePurgeProtection"] is True


def check_lifecycle(infra: Infra) -> None:
    (policy,) = infra.made(f"{ACCOUNT}/managementPolicies")
    rules = {rule["name"]: rule["definition"] for rule in policy.properties["policy"]["rules"]}
    markers = f"{naming.RECEIPTS}/{naming.settling_blob('')}"
    records = {
        f"{naming.RECEIPTS}/{prefix}" for prefix in (journal.FOLDER, idempotency.FOLDER, uploads.FOLDER, REPLAYED)
    }
    requests = f"{naming.SNAPSHOTS}/{naming.REQUESTS}"
    # A mark under .open lives as long as its job: of what Kedja relies on only markers may be deleted themselves.
    deletes = {
        prefix for rule in rules.values() if "baseBlob" in rule["actions"] for prefix in rule["filters"]["prefixMatch"]
    }
    # The container is named after the workspace's GUID, which only a deployment knows.
    checkpoints = f"${{workspaceContainerName}}/{naming.CHECKPOINTS}/"
    assert infra["main.bicep"].text.count("workspaceContainerName: workspaceContainer.outputs.name") > 1
    assert deletes == {markers, *records, requests, checkpoints}
    assert rules["journal"]["filters"]["blobTypes"] == ["appendBlob"]  # a rule on block blobs would pass it by
    versions = rules["versions-of-working-state"]
    assert versions["actions"] == {"version": {"delete": {"daysAfterCreationGreaterThan": 1}}}
    blobs = (
        naming.settling_blob("e"),
        naming.open_blob(DropRef("e", "d")),
        naming.by_time_blob(datetime.now(UTC), DropRef("e", "d")),
    )
    working = {*(f"{blob.partition('/')[0]}/" for blob in blobs), RUNNING_BLOB, QUEUED}
    working |= {CURSOR, retention.CURSOR, walk.CURSOR}
    expected = {*(f"{naming.RECEIPTS}/{prefix}" for prefix in working), requests}
    assert set(versions["filters"]["prefixMatch"]) == expected
    kept = rules["records-of-requests"]
    assert requests in kept["filters"]["prefixMatch"]
    assert kept["actions"] == {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 90}}}


def check_cors_is_for_the_app_alone(infra: Infra) -> None:
    (rule,) = infra["modules/storage.bicep"].made(f"{ACCOUNT}/blobServices")[0].properties["cors"]["corsRules"]
    assert rule["allowedOrigins"] == [Unknown("appOrigin")]
    main = infra["main.bicep"]
    assert main.variables["appOrigin"] == f"https://{main.variables['functionAppName']}.azurewebsites.net"


def check_diagnostics(infra: Infra) -> None:
    expected: dict[str, int] = defaultdict(int)
    for kind in HAVE_DIAGNOSTICS:
        # In a loop over names the two system topics, and the groups, are one declaration.
        expected[kind] = (
            min(len(infra.made(kind)), 1) if kind in (SYSTEM_TOPIC, HAVE_DIAGNOSTICS[-1]) else len(infra.made(kind))
        )
    found: dict[str, int] = defaultdict(int)
    for file in infra.files.values():
        for each in file.resources:
            if each.type.endswith(DIAGNOSTICS):
                found[each.type.removesuffix(DIAGNOSTICS)] += 1
                _check_diagnostics_body(each)
    assert found == expected
    names_given = infra["main.bicep"].text
    assert "systemTopicNames: [topics.outputs.storageTopicName, topics.outputs.workspaceTopicName]" in names_given


def _check_diagnostics_body(each: Resource) -> None:
    """Hold a body to the properties of 2021-05-01-preview, which no type catalogue of stable versions has."""
    assert each.version == "2021-05-01-preview"
    assert each.name.endswith("/Microsoft.Insights/kedja"), each.name
    assert each.name.count("/") == each.type.count("/") - 1, f"{each.name}: a segment for each of {each.type}"
    assert set(each.properties) <= {"workspaceId", "logs", "metrics"}
    assert each.properties["workspaceId"] == Unknown("logsId")
    collected = [*each.properties.get("logs", []), *each.properties.get("metrics", [])]
    assert collected, "something is collected"
    for entry in collected:
        assert entry["enabled"] is True
        assert set(entry) in ({"category", "enabled"}, {"categoryGroup", "enabled"})


def check_lines_of_the_app_are_kept_once(infra: Infra) -> None:
    each = infra.one(f"{SITE}{DIAGNOSTICS}")
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING" in settings(infra), "the host sends its lines there"
    assert infra.one("Microsoft.Insights/components").properties["WorkspaceResourceId"] == Unknown("logs.id")
    assert "logs" not in each.properties, "the workspace would keep, and bill, each line twice"


def check_private_mode_closes_everything(infra: Infra) -> None:
    for account in infra.made(ACCOUNT):
        access = account.properties["publicNetworkAccess"]
        assert isinstance(access, Choice)
        assert access.condition.startswith("isPrivate")
        assert (access.yes, access.no) == ("Disabled", "Enabled")
        assert account.properties["networkAcls"]["defaultAction"] == Choice("isPrivate", "Deny", "Allow")
        assert account.properties["networkAcls"]["bypass"] == "AzureServices", (
            "Event Grid delivers as a trusted service"
        )
    for kind in (REGISTRY, WORKSPACE, TOPIC):
        assert infra.one(kind).properties["publicNetworkAccess"] == LOCKED, kind
    main = {module.symbol: module for module in infra["main.bicep"].modules}
    assert main["vault"].params["publicNetworkAccess"] == "isPrivate ? 'Disabled' : 'Enabled'"
    site = infra.one(SITE).properties["publicNetworkAccess"]
    assert (site.yes, site.no) == ("Disabled", "Enabled")
    config = infra.one(SITE).properties["siteConfig"]
    assert config["ipSecurityRestrictionsDefaultAction"] == Choice("isPrivate", "Deny", "Allow")
    assert config["scmIpSecurityRestrictionsUseMain"] is True, "whoever reaches scm deploys another app"
    assert infra.one(WORKSPACE).properties["managedNetwork"] == {
        "isolationMode": Choice("isPrivate", "AllowInternetOutbound", "Disabled")
    }


def check_private_endpoints(infra: Infra) -> None:
    file = infra["modules/private-endpoints.bicep"]
    targets = {(target["id"].text, target["group"]) for target in file.variables["targets"]}
    assert targets == {
        ("storageId", "blob"),
        ("storageId", "queue"),
        ("hostStorageId", "blob"),
        ("hostStorageId", "queue"),
        ("hostStorageId", "table"),
        ("vaultId", "vault"),
        ("registryId", "registry"),
        ("workspaceId", "amlworkspace"),
        ("topicId", "topic"),
    }
    zones = file.variables["zoneNames"]
    used = {zone for target in file.variables["targets"] for zone in target["zones"]} | {8}
    assert used == set(range(len(zones))), "every zone has an endpoint; the last is the app's"
    for target in file.variables["targets"]:
        for zone in target["zones"]:
            fits = {"registry": "azurecr", "amlworkspace": "azureml|notebooks", "topic": "eventgrid"}
            assert re.search(fits.get(target["group"], target["group"]), zones[zone]), target["name"]

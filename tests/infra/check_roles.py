"""Who may do what."""

import json
import re
from collections import defaultdict

from function_app.domain import naming
from tests.infra.bicep import Infra, Unknown
from tests.infra.kinds import ROLE


def role_table(infra: Infra, path: str) -> dict[tuple[str, str], set[str]]:
    """Return (who, role) → what, of one file."""
    definitions = {value: name for name, value in json.loads(infra.texts["roles/definitions.json"]).items()}
    table: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in infra[path].made(ROLE):
        who = each.properties["principalId"].text
        role = definitions[each.properties["roleDefinitionId"].rpartition("/")[2]]
        table[who, role].add(each.body["scope"].label)
    return dict(table)


def check_roles_of_kedja(infra: Infra) -> None:
    app, job = "appPrincipalId", "jobPrincipalId"
    storage_topic, workspace_topic = "storageTopicPrincipalId", "workspaceTopicPrincipalId"
    queues = {f"queues/{queue}{suffix}" for queue in naming.QUEUES for suffix in ("", "-poison")}
    host = "storageAccounts/hostStorageName"
    assert role_table(infra, "roles/kedja.bicep") == {
        (app, "blobDataReader"): {"containers/azureml", "containers/dead-letter"},
        (app, "blobDataContributor"): {f"containers/{name}" for name in naming.CONTAINERS} - {"containers/dead-letter"},
        (app, "queueDataContributor"): {*queues, host},
        (app, "blobDataOwner"): {host},
        (app, "tableDataContributor"): {host},
        (app, "blobDelegator"): {"storageAccounts/storageName"},
        (app, "dataScientist"): {"workspaces/workspaceName"},
        (app, "eventGridDataSender"): {"topics/topicName"},
        (app, "metricsPublisher"): {"components/insightsName"},
        (job, "blobDataReader"): {
            "containers/data",
            "containers/scripts",
            "containers/snapshots",
            "containers/releases",
        },
        (job, "blobDataContributor"): {"containers/azureml", "containers/workspaceContainerName"},
        (job, "acrPull"): {"registries/registryName"},
        (storage_topic, "queueMessageSender"): {"queues/blob-events"},
        (storage_topic, "blobDataContributor"): {"containers/dead-letter"},
        (workspace_topic, "queueMessageSender"): {"queues/run-events"},
        (workspace_topic, "blobDataContributor"): {"containers/dead-letter"},
    }


def check_roles_of_the_workspace(infra: Infra) -> None:
    who = "principalId"
    three = {"storageAccounts/storageName", "vaults/vaultName", "registries/registryName"}
    assert role_table(infra, "roles/workspace.bicep") == {
        (who, "contributor"): {*three, "components/insightsName"},
        (who, "blobDataContributor"): {"storageAccounts/storageName"},
        (who, "keyVaultAdministrator"): {"vaults/vaultName"},
        (who, "networkConnectionApprover"): three,
    }
    conditional = {each.symbol for each in infra["roles/workspace.bicep"].made(ROLE) if each.condition == "isPrivate"}
    assert conditional == {"storageApprover", "vaultApprover", "registryApprover"}


def check_roles_of_people(infra: Infra) -> None:
    file = infra["roles/people.bicep"]
    lists = {
        "writesData": ("dataPrincipals", "containers/data", "blobDataContributor"),
        "writesScripts": ("scriptPrincipals", "containers/scripts", "blobDataContributor"),
        "readsReceipts": ("readPrincipals", "containers/receipts", "blobDataReader"),
        "readsModels": ("readPrincipals", "containers/models", "blobDataReader"),
        "writesReceipts": ("administratorPrincipals", "containers/receipts", "blobDataContributor"),
        "uploadsRelease": ("deployers", "containers/releases", "blobDataContributor"),
    }
    definitions = json.loads(infra.texts["roles/definitions.json"])
    made = {each.symbol: each for each in file.made(ROLE)}
    assert set(made) == set(lists)
    for symbol, (source, scope, role) in lists.items():
        assert re.search(rf"resource {symbol} [^\n]*\n  for entry in {source}:", file.text), symbol
        assert made[symbol].body["scope"].label == scope
        assert made[symbol].properties["roleDefinitionId"].endswith(definitions[role])


def check_nobody_comes_twice_in_a_list_of_people(infra: Infra) -> None:
    """Azure refuses two assignments of one name: a deployer who is in a list too would stop the deployment."""
    variables = infra["roles/people.bicep"].variables
    lists = {
        "dataPrincipals": ("dataList", "dataWriters", "deployers"),
        "scriptPrincipals": ("scriptList", "scriptWriters", "[]"),  # nobody else decides what runs
        "readPrincipals": ("readList", "readers", "[]"),
        "administratorPrincipals": ("administratorList", "administrators", "deployers"),
    }
    for principals, (entries, parameter, more) in lists.items():
        assert variables[principals] == Unknown(f"union({entries}, {more})")
        whole = f"filter(split(replace({parameter}, ' ', ''), ','), entry => !empty(entry))"
        assert variables[entries] == Unknown(whole), f"{entries}: blanks and empty entries are nobody"


def check_lists_of_addresses_hold_no_empty_entry(infra: Infra) -> None:
    lists = {
        "modules/storage.bicep": ("addresses", "allowedAddresses", "address"),
        "modules/function-app.bicep": ("addresses", "allowedAddresses", "address"),
        "modules/monitoring.bicep": ("emails", "alertEmails", "email"),
        "modules/budget.bicep": ("emails", "alertEmails", "email"),
    }
    for path, (name, parameter, each) in lists.items():
        trimmed = f"map(split({parameter}, ','), {each} => trim({each}))"
        assert infra[path].variables[name] == Unknown(f"filter({trimmed}, {each} => !empty({each}))"), path


def check_only_the_deployer_writes_releases(infra: Infra) -> None:
    """A job that could write there would decide what code every later job runs."""
    definitions = json.loads(infra.texts["roles/definitions.json"])
    on_releases = {
        each.symbol: each.properties["roleDefinitionId"].rpartition("/")[2]
        for file in infra.files.values()
        for each in file.made(ROLE)
        if each.body["scope"].label == "containers/releases"
    }
    assert on_releases == {
        "jobReadsContainer": definitions["blobDataReader"],
        "uploadsRelease": definitions["blobDataContributor"],
    }


def check_role_definitions_are_azures(infra: Infra) -> None:
    assert json.loads(infra.texts["roles/definitions.json"]) == {
        "acrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        "blobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        "blobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "blobDataReader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        "blobDelegator": "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
        "contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "dataScientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
        "eventGridDataSender": "d5a91429-5739-47e2-a06b-3470a27159e7",
        "keyVaultAdministrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483",
        "metricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
        "networkConnectionApprover": "b556d68e-0be0-4f35-a333-ad7ee1ce17ea",
        "queueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
        "queueMessageSender": "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
        "tableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    }


def check_roles_stand_in_one_place(infra: Infra) -> None:
    assert {path for path, file in infra.files.items() if file.made(ROLE)} == {
        "roles/kedja.bicep",
        "roles/people.bicep",
        "roles/workspace.bicep",
    }
    definitions = {value: name for name, value in json.loads(infra.texts["roles/definitions.json"]).items()}
    for file in infra.files.values():
        for each in file.made(ROLE):
            if file.path != "roles/people.bicep":
                assert each.properties["principalType"] == "ServicePrincipal", "or a new identity may not be found yet"
            role = definitions[each.properties["roleDefinitionId"].rpartition("/")[2]]
            named = re.fullmatch(r"guid\(\S+\.id, \S+, roles\.(\w+)\)", each.body["name"].text)
            assert named, f"{each.symbol}: its name says what, who and which role"
            assert named[1] == role, f"{each.symbol}: a name of another role is another assignment's"


def check_order(infra: Infra) -> None:
    modules = {module.symbol: module for module in infra["main.bicep"].modules}
    assert modules["workspace"].depends_on == ("workspaceRoles",), "a workspace needs its identity's roles first"
    assert modules["subscriptions"].depends_on == ("roles",), "Event Grid checks at once"
    assert modules["functionApp"].depends_on == ("roles",), "the app reads its package by identity"

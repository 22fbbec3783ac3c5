"""Every mistake here makes an assertion fail: the assertions find something, and not only what they were written for.

A mutant is one edit of the files' text. It has to fit in exactly once, so that none is left behind by a later change.
"""

import pytest
from attrs import frozen

from function_app.errors import KedjaError
from tests.infra.assertions import ASSERTIONS
from tests.infra.bicep import Infra


@frozen
class Mutant:
    """`old` becomes `new` in one file."""

    name: str
    path: str
    old: str
    new: str


LIFECYCLE = "modules/lifecycle.bicep"
STORAGE, HOST, APP = "modules/storage.bicep", "modules/host-storage.bicep", "modules/function-app.bicep"
SUBSCRIPTIONS, TOPICS, ALERTS = (
    "modules/event-subscriptions.bicep",
    "modules/event-topics.bicep",
    "modules/alerts.bicep",
)
WORKSPACE, DIAGNOSTICS, NAMES = "modules/workspace.bicep", "modules/diagnostics.bicep", "names.json"
ROLES, PEOPLE, MAIN = "roles/kedja.bicep", "roles/people.bicep", "main.bicep"

_DROPS = "queueName: names.queues.blobEvents\n            queueMessageTimeToLiveInSeconds: neverExpires"
_DROPS_IDENTITY = """      deliveryWithResourceIdentity: {
        identity: { type: 'SystemAssigned' }"""
_LETTER_OF_RUNS = """    deadLetterWithResourceIdentity: {
      identity: { type: 'SystemAssigned' }
      deadLetterDestination: {
        endpointType: 'StorageBlob'
        properties: { resourceId: storageId, blobContainerName: names.containers.deadLetter }
      }
    }
"""

MUTANTS = (
    # keys
    Mutant("shared keys on", STORAGE, "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    Mutant("shared keys on in the host's account", HOST, "allowSharedKeyAccess: false", "allowSharedKeyAccess: true"),
    Mutant("shared keys left to the default", STORAGE, "    allowSharedKeyAccess: false\n", ""),
    Mutant("topic takes keys", TOPICS, "disableLocalAuth: true", "disableLocalAuth: false"),
    Mutant(
        "registry has an administrator", "modules/registry.bicep", "adminUserEnabled: false", "adminUserEnabled: true"
    ),
    Mutant("telemetry takes keys", "modules/monitoring.bicep", "    DisableLocalAuth: true\n", ""),
    Mutant(
        "publishing by password",
        APP,
        "name: 'scm'\n  properties: { allow: false }",
        "name: 'scm'\n  properties: { allow: true }",
    ),
    Mutant(
        "host connects by key",
        APP,
        "    AzureWebJobsDisableHomepage: 'true'\n",
        "    AzureWebJobsDisableHomepage: 'true'\n    AzureWebJobsStorage: 'AccountKey=${storageName}'\n",
    ),
    Mutant(
        "keys are listed", APP, "var hasSignIn = !empty(entraClientId)", "var hasSignIn = empty(plan.listKeys().keys)"
    ),
    Mutant(
        "datastores by key", WORKSPACE, "systemDatastoresAuthMode: 'Identity'", "systemDatastoresAuthMode: 'AccessKey'"
    ),
    Mutant("nodes take passwords", WORKSPACE, "    disableLocalAuth: true\n", ""),
    Mutant(
        "vault by access policies",
        "modules/vault.bicep",
        "enableRbacAuthorization: true",
        "enableRbacAuthorization: false",
    ),
    # baseline
    Mutant("old TLS", STORAGE, "minimumTlsVersion: 'TLS1_2'", "minimumTlsVersion: 'TLS1_0'"),
    Mutant("old TLS at the app", APP, "    minTlsVersion: '1.2'\n", "    minTlsVersion: '1.0'\n"),
    Mutant("plain HTTP", APP, "httpsOnly: true", "httpsOnly: false"),
    Mutant("FTP", APP, "ftpsState: 'Disabled'", "ftpsState: 'AllAllowed'"),
    Mutant("public blobs", STORAGE, "allowBlobPublicAccess: false", "allowBlobPublicAccess: true"),
    Mutant("no versions", STORAGE, "isVersioningEnabled: true", "isVersioningEnabled: false"),
    Mutant("no purge protection", "modules/vault.bicep", "enablePurgeProtection: true", "enablePurgeProtection: false"),
    Mutant(
        "marks of running jobs expire",
        LIFECYCLE,
        "prefixMatch: ['${names.containers.receipts}/${names.workingState.settling}']",
        "prefixMatch: ['${names.containers.receipts}/${names.workingState.open}']",
    ),
    Mutant(
        "snapshots expire with the requests",
        LIFECYCLE,
        "is deleted at once.\n                '${names.containers.snapshots}/${names.workingState.requests}'",
        "is deleted at once.\n                '${names.containers.snapshots}/'",
    ),
    Mutant("all that the workspace keeps expires", LIFECYCLE, "/${names.checkpoints}'", "/'"),
    Mutant("upload from any page", STORAGE, "allowedOrigins: [appOrigin]", "allowedOrigins: ['*']"),
    Mutant(
        "no logs of the vault",
        DIAGNOSTICS,
        "resource vault 'Microsoft.KeyVault/vaults/providers",
        "resource vault 'Microsoft.Web/sites/providers",
    ),
    Mutant(
        "logs of one system topic only", MAIN, "[topics.outputs.storageTopicName, topics.outputs", "[topics.outputs"
    ),
    Mutant("logs of nothing", DIAGNOSTICS, "var audit = [{ categoryGroup: 'audit', enabled: true }]", "var audit = []"),
    Mutant(
        "private account stays open",
        STORAGE,
        "isPrivate && empty(addresses) ? 'Disabled' : 'Enabled'",
        "isPrivate ? 'Enabled' : 'Enabled'",
    ),
    Mutant("scm stays open", APP, "      scmIpSecurityRestrictionsUseMain: true\n", ""),
    Mutant(
        "lines of the app are kept twice",
        DIAGNOSTICS,
        "'${functionAppName}/Microsoft.Insights/kedja'\n  properties: { workspaceId: logsId, metrics",
        "'${functionAppName}/Microsoft.Insights/kedja'\n"
        "  properties: { workspaceId: logsId, logs: [{ category: 'FunctionAppLogs', enabled: true }], metrics",
    ),
    Mutant("Event Grid is shut out", STORAGE, "bypass: 'AzureServices'", "bypass: 'None'"),
    Mutant(
        "no endpoint for queues",
        "modules/private-endpoints.bicep",
        "  { name: 'queue', id: storageId, group: 'queue', zones: [1] }\n",
        "",
    ),
    Mutant("wrong zone", "modules/private-endpoints.bicep", "group: 'vault', zones: [3]", "group: 'vault', zones: [4]"),
    # names
    Mutant("another queue", NAMES, '"blob-events"', '"blob-event"'),
    Mutant("another container", NAMES, '"deadLetter": "dead-letter"', '"deadLetter": "deadletter"'),
    Mutant("no poison queue", NAMES, '    "settledDropsPoison": "settled-drops-poison",\n', ""),
    Mutant("another datastore", NAMES, '"kedja_snapshots"', '"kedja_scripts"'),
    Mutant(
        "datastore of another container",
        WORKSPACE,
        "containerName: names.containers.snapshots",
        "containerName: names.containers.scripts",
    ),
    Mutant("another cluster", NAMES, '"gpu-cluster"', '"gpu"'),
    Mutant("another script file", NAMES, '"script": "app.py"', '"script": "function_app.py"'),
    Mutant("a setting is missing", APP, "    KEDJA_WORKSPACE_NAME: workspaceName\n", ""),
    Mutant("a setting nobody reads", APP, "    KEDJA_COMPUTE: names.compute\n", "    KEDJA_CLUSTER: names.compute\n"),
    Mutant("trigger without identity", APP, "    KedjaStorage__clientId: identityClientId\n", ""),
    Mutant(
        "drops in the host's account",
        APP,
        "KedjaStorage__blobServiceUri: 'https://${storageName}",
        "KedjaStorage__blobServiceUri: 'https://${hostStorageName}",
    ),
    Mutant("blobs where queues are", APP, "https://${storageName}.queue", "https://${storageName}.blob"),
    Mutant("everybody is let in", APP, "hasSignIn ? 'easy-auth' : 'keys'", "hasSignIn ? 'easy-auth' : 'local'"),
    Mutant(
        "sign-in without platform", "modules/sign-in.bicep", "platform: { enabled: true,", "platform: { enabled: false,"
    ),
    # events
    Mutant("drops go to another queue", SUBSCRIPTIONS, _DROPS, _DROPS.replace("blobEvents", "settledDrops")),
    Mutant(
        "runs go to another queue",
        SUBSCRIPTIONS,
        "queueName: names.queues.runEvents",
        "queueName: names.queues.blobEvents",
    ),
    Mutant("messages expire", SUBSCRIPTIONS, "var neverExpires = -1", "var neverExpires = 604800"),
    Mutant("time to live is gone", SUBSCRIPTIONS, _DROPS, "queueName: names.queues.blobEvents"),
    Mutant("every event comes", SUBSCRIPTIONS, "        includedEventTypes: [names.events.blobCreated]\n", ""),
    Mutant(
        "failures are not heard of",
        SUBSCRIPTIONS,
        "[names.events.runCompleted, names.events.runStatusChanged]",
        "[names.events.runCompleted]",
    ),
    Mutant(
        "every container is watched",
        SUBSCRIPTIONS,
        "        subjectBeginsWith: '/blobServices/default/containers/${container}/'\n",
        "",
    ),
    Mutant("prefix without its slash", SUBSCRIPTIONS, "containers/${container}/'", "containers/${container}'"),
    Mutant(
        "scripts are not watched",
        SUBSCRIPTIONS,
        "[names.containers.data, names.containers.scripts]",
        "[names.containers.data]",
    ),
    Mutant("no dead letters of runs", SUBSCRIPTIONS, _LETTER_OF_RUNS, ""),
    Mutant("delivery by another identity", SUBSCRIPTIONS, _DROPS_IDENTITY, _DROPS_IDENTITY.replace("System", "User")),
    Mutant("one try", SUBSCRIPTIONS, "var deliveryAttempts = 30", "var deliveryAttempts = 1"),
    Mutant(
        "topic type misspelt",
        TOPICS,
        "Microsoft.MachineLearningServices.Workspaces",
        "Microsoft.MachineLearningServices.workspaces",
    ),
    Mutant("topics have swapped sources", TOPICS, "source: workspaceId", "source: storageId"),
    Mutant("announcements in another schema", TOPICS, "'CloudEventSchemaV1_0'", "'EventGridSchema'"),
    Mutant("event type of a deletion", NAMES, "Microsoft.Storage.BlobCreated", "Microsoft.Storage.BlobDeleted"),
    # roles
    Mutant(
        "app changes dead letters", ROLES, "var appWrites = [\n", "var appWrites = [\n  names.containers.deadLetter\n"
    ),
    Mutant(
        "job sees receipts",
        ROLES,
        "var jobReads = [names.containers.data",
        "var jobReads = [names.containers.receipts, names.containers.data",
    ),
    Mutant(
        "job writes models",
        ROLES,
        "var jobWrites = [names.containers.artifacts",
        "var jobWrites = [names.containers.models, names.containers.artifacts",
    ),
    Mutant(
        "a job changes what later jobs run",
        ROLES,
        "var jobWrites = [names.containers.artifacts",
        "var jobWrites = [names.containers.releases, names.containers.artifacts",
    ),
    Mutant(
        "the release where jobs write",
        MAIN,
        "output KEDJA_RELEASES_CONTAINER string = names.containers.releases",
        "output KEDJA_RELEASES_CONTAINER string = workspaceContainer.outputs.name",
    ),
    Mutant("app cannot read outputs", ROLES, "var appReads = [names.containers.artifacts, ", "var appReads = ["),
    Mutant(
        "Event Grid sends to another queue",
        ROLES,
        "queue: names.queues.runEvents }",
        "queue: names.queues.blobEvents }",
    ),
    Mutant(
        "a role is named after another",
        ROLES,
        "roles.queueMessageSender)\n    scope",
        "roles.queueDataContributor)\n    scope",
    ),
    Mutant(
        "roles of Event Grid on the queue",
        ROLES,
        "'Microsoft.Authorization/roleDefinitions', roles.queueMessageSender",
        "'Microsoft.Authorization/roleDefinitions', roles.queueDataContributor",
    ),
    Mutant(
        "app owns the workspace",
        ROLES,
        "'Microsoft.Authorization/roleDefinitions', roles.dataScientist",
        "'Microsoft.Authorization/roleDefinitions', roles.contributor",
    ),
    Mutant(
        "no images for jobs",
        ROLES,
        "resource jobPullsImages 'Microsoft.Authorization/roleAssignments@2022-04-01' =",
        "resource jobPullsImages 'Microsoft.Authorization/roleAssignments@2022-04-01' existing =",
    ),
    Mutant("writers of data write scripts", PEOPLE, "union(scriptList, [])", "union(scriptList, dataList)"),
    Mutant(
        "the deployer in a list stops the deployment",
        PEOPLE,
        "union(dataList, deployers)",
        "concat(dataList, deployers)",
    ),
    Mutant("a blank in a list makes another name", PEOPLE, "replace(readers, ' ', '')", "readers"),
    Mutant(
        "a comma at the end is an address",
        STORAGE,
        "filter(map(split(allowedAddresses, ','), address => trim(address)), address => !empty(address))",
        "map(split(allowedAddresses, ','), address => trim(address))",
    ),
    Mutant(
        "readers write",
        PEOPLE,
        "guid(models.id, entry, roles.blobDataReader)\n    scope: models",
        "guid(models.id, entry, roles.blobDataReader)\n    scope: scripts",
    ),
    Mutant(
        "wrong role id",
        "roles/definitions.json",
        "db58b8e5-c6ad-4a2a-8342-4190687cbf4a",
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955c",
    ),
    Mutant(
        "subscriptions before roles",
        MAIN,
        "    storageId: storage.outputs.id\n  }\n  dependsOn: [roles]\n}",
        "    storageId: storage.outputs.id\n  }\n}",
    ),
    # compute, app, watching
    Mutant("a node always runs", WORKSPACE, "minNodeCount: 0", "minNodeCount: 1"),
    Mutant("cluster even without quota", WORKSPACE, " = if (gpuMaxNodes > 0) {", " = {"),
    Mutant("jobs run as the workspace", WORKSPACE, "'${jobIdentityId}': {}", "'${workspaceIdentityId}': {}"),
    Mutant("older Python", APP, "version: '3.13'", "version: '3.11'"),
    Mutant(
        "one HTTP request an instance",
        APP,
        "        triggers: { http: { perInstanceConcurrency: httpConcurrency } }\n",
        "",
    ),
    Mutant("fewer requests than threads", MAIN, "param httpConcurrency int = 40", "param httpConcurrency int = 1"),
    Mutant(
        "concurrency that cannot be set",
        "main.parameters.json",
        "${KEDJA_HTTP_CONCURRENCY=40}",
        "${KEDJA_HTTP_CONCURENCY=40}",
    ),
    Mutant("azd does not find the app", APP, "'azd-service-name': 'app'", "'azd-service': 'app'"),
    Mutant("failed jobs in silence", ALERTS, "metricName: 'Failed Runs'", "metricName: 'Completed Runs'"),
    Mutant(
        "dead letters in silence",
        ALERTS,
        "  { name: 'dropped-files', topicId: storageTopicId, metric: 'DeadLetteredCount' }\n",
        "",
    ),
    Mutant("people hear of nothing that fails", NAMES, '"Kedja.JobFailed", ', ""),
    Mutant("the address of people's chat in the open", MAIN, "@secure()\n", ""),
    Mutant("telling people without an address", MAIN, " = if (!empty(notificationEndpoint)) {", " = {"),
    Mutant("poison in silence", NAMES, '"on_settled_poison", ', ""),
    Mutant("the budget's start moves", "main.parameters.json", '"${KEDJA_BUDGET_START}"', '""'),
    Mutant("a module loses a parameter", MAIN, "    appOrigin: appOrigin\n", ""),
    Mutant(
        "an output that is not there",
        MAIN,
        "Id: identities.outputs.jobPrincipalId",
        "Id: identities.outputs.jobPrincipal",
    ),
    Mutant("another default in one place", "main.parameters.json", "KEDJA_GPU_MAX_NODES=1", "KEDJA_GPU_MAX_NODES=4"),
    Mutant("a parameter azd does not know", "main.parameters.json", '"gpuSize"', '"vmSize"'),
    Mutant("a comment as in other languages", TOPICS, "// checkov:skip=CKV_AZURE_193", "#checkov:skip=CKV_AZURE_193"),
    Mutant(
        "a bracket is lost",
        TOPICS,
        "  identity: { type: 'SystemAssigned' }\n  properties: {\n    source: storageId",
        "  identity: { type: 'SystemAssigned' \n  properties: {\n    source: storageId",
    ),
)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return dict(Infra.load().texts)


@pytest.mark.slow  # a hundred of them; the checks themselves are quick
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_it_is_found(texts: dict[str, str], mutant: Mutant) -> None:
    assert texts[mutant.path].count(mutant.old) == 1, f"{mutant.old!r} is in {mutant.path} other than once"
    assert found_by({**texts, mutant.path: texts[mutant.path].replace(mutant.old, mutant.new)})


def test_what_is_not_changed_is_not_found(texts: dict[str, str]) -> None:
    assert found_by(texts) == []


def found_by(texts: dict[str, str]) -> list[str]:
    """Return the names of the assertions that fail."""
    infra = Infra(texts)
    found = []
    for holds in ASSERTIONS:
        try:
            holds(infra)
        except (AssertionError, AttributeError, KeyError, IndexError, StopIteration, KedjaError):
            found.append(holds.__name__)
    return found

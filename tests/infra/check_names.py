"""Names and settings are those of the code."""

import re
from typing import Any

from function_app.azure.ml_workspace import Workspace
from function_app.azure.storage import StorageAccount
from function_app.domain import naming
from function_app.http.callers import OPEN_PATHS, Callers, Method
from function_app.settings import STORAGE, Settings
from infra.hooks import forged_sign_in
from tests.infra import kedja_facts
from tests.infra.bicep import ROOT, Choice, Infra, Unknown
from tests.infra.kinds import CONTAINER, QUEUE, SITE, WORKSPACE, settings


def example_settings(infra: Infra) -> dict[str, str]:
    """Return app settings as a deployment in public mode would write them, after the post-deploy hook."""
    workspace = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
    given = {
        "trainingCode": f"{workspace}/codes/kedja/versions/1",
        "trainingEnvironment": "azureml:kedja-chainer:1",
        "eventGridEndpoint": "https://kedja.example/api/events",
        "eventOrigins": "",
        "approvals": "required",
        "string(maxJobs)": "50",
        "string(maxJobsPerExperiment)": "4",
        "string(maxPreemptions)": "3",
        "string(keepSnapshots)": "0",
        "string(keepReceipts)": "30",
        "string(keepModels)": "0",
    }

    def text(value: Any) -> str:  # noqa: ANN401 - whatever the file says
        if isinstance(value, Unknown):
            return given.get(value.text, value.text)
        if isinstance(value, Choice):
            return text(value.no)
        return (
            re.sub(r"\$\{environment\(\)\.suffixes\.storage\}", "core.windows.net", value)
            .replace("${", "")
            .replace("}", "")
        )

    return {key: text(value) for key, value in settings(infra).items()}


def check_containers_are_those_of_the_code(infra: Infra) -> None:
    artifacts = {attribute.name: attribute.default for attribute in Workspace.__attrs_attrs__}["artifacts"]
    made = {each.name for each in infra["modules/storage.bicep"].made(CONTAINER)}
    releases = infra.names["containers"]["releases"]
    assert infra["main.bicep"].outputs["KEDJA_RELEASES_CONTAINER"] == "names.containers.releases", (
        "the hook writes there"
    )
    assert made == {*naming.CONTAINERS, artifacts, releases}
    assert infra["modules/workspace-container.bicep"].made(CONTAINER)[0].name == "azureml-blobstore-${workspaceGuid}"


def check_queues_are_those_of_the_code(infra: Infra) -> None:
    made = {each.name for each in infra["modules/storage.bicep"].made(QUEUE)}
    assert made == {queue for name in naming.QUEUES for queue in (name, f"{name}-poison")}
    assert made == {queue for queue in kedja_facts.functions().values() if queue}, "every queue has its function"


def check_datastores_are_those_of_the_code(infra: Infra) -> None:
    stores = {each.name: each.properties["containerName"] for each in infra.made(f"{WORKSPACE}/datastores")}
    assert stores == {naming.DATA_DATASTORE: naming.DATA, naming.SNAPSHOTS_DATASTORE: naming.SNAPSHOTS}


def check_compute_and_environment_are_those_of_the_code(infra: Infra) -> None:
    defaults = Settings()
    assert infra.one(f"{WORKSPACE}/computes").name == settings(infra)["KEDJA_COMPUTE"] == defaults.compute
    environment = infra.one(f"{WORKSPACE}/environments").name
    assert defaults.environment == f"azureml:{environment}:1"


def check_settings_are_those_of_the_code(infra: Infra) -> None:
    written = set(settings(infra))
    storage = {f"{STORAGE}__{part}" for part in ("credential", "clientId", "blobServiceUri", "queueServiceUri")}
    assert written == {
        *kedja_facts.OF_THE_PLATFORM,
        *storage,
        *(kedja_facts.settings_in_code() - set(kedja_facts.NOT_FROM_BICEP)),
    }
    assert kedja_facts.connections() == {STORAGE}, "triggers connect by the settings that are written"


def check_identities_in_settings(infra: Infra) -> None:
    written = settings(infra)
    for prefix in ("AzureWebJobsStorage", STORAGE):
        assert written[f"{prefix}__credential"] == "managedidentity"
        assert written[f"{prefix}__clientId"] == Unknown("identityClientId")
    assert written["AZURE_CLIENT_ID"] == Unknown("identityClientId")
    assert written["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "ClientId=${identityClientId};Authorization=AAD"
    for kind in ("blob", "queue"):
        assert written[f"{STORAGE}__{kind}ServiceUri"].startswith(f"https://${{storageName}}.{kind}.")
        assert written[f"AzureWebJobsStorage__{kind}ServiceUri"].startswith(f"https://${{hostStorageName}}.{kind}.")


def check_the_app_starts_with_these_settings(infra: Infra) -> None:
    environ = example_settings(infra)
    read = Settings.read(environ)
    assert read.client_id == environ["AZURE_CLIENT_ID"]
    assert (read.max_jobs, read.max_jobs_per_experiment, read.max_preemptions) == (50, 4, 3)
    assert (read.keep_snapshots, read.keep_receipts, read.keep_models) == (0, 30, 0)
    assert read.event_grid_endpoint == environ["KEDJA_EVENT_GRID_ENDPOINT"]
    assert Workspace.from_environment(environ).code_id == environ["KEDJA_TRAINING_CODE"]
    account = StorageAccount.connect(environ, _NoCredential(), prefix=STORAGE)
    assert account.blobs.client.url == "https://storageName.blob.core.windows.net/"
    assert account.queues.client.url == "https://storageName.queue.core.windows.net/"
    choice = settings(infra)["KEDJA_AUTH"]
    for auth, method in ((choice.no, Method.KEYS), (choice.yes, Method.EASY_AUTH)):
        callers = Callers.read(Settings.read({"KEDJA_AUTH": auth}), {**environ, **_OF_THE_PLATFORM})
        assert callers.methods == {method}


_OF_THE_PLATFORM = {"WEBSITE_SITE_NAME": "kedja", "WEBSITE_AUTH_ENABLED": "true"}
"""What App Service adds; the second where authentication is on:
https://learn.microsoft.com/azure/app-service/reference-app-settings
"""


class _NoCredential:
    """Asked for nothing: connecting makes no call."""

    def get_token(self, *scopes: str, **options: object) -> Any:  # noqa: ANN401 - never returns
        raise AssertionError(f"{scopes} {options}")


def check_script_file(infra: Infra) -> None:
    script = settings(infra)["PYTHON_SCRIPT_FILE_NAME"]
    assert script == "app.py"
    assert (ROOT / script).is_file()
    assert not (ROOT / "function_app.py").exists(), "it would shadow the package"
    assert settings(infra)["AzureWebJobsDisableHomepage"] == "true"


def check_sign_in_stands_before_the_app_when_it_trusts_it(infra: Infra) -> None:
    sign_in = next(each for each in infra.made(f"{SITE}/config") if each.name == "authsettingsV2")
    module = next(each for each in infra["main.bicep"].modules if each.symbol == "signIn")
    assert "= if (!empty(entraClientId))" in module.text
    assert infra["modules/function-app.bicep"].variables["hasSignIn"] == Unknown("!empty(entraClientId)")
    assert settings(infra)["KEDJA_AUTH"] == Choice("hasSignIn", "easy-auth", "keys")
    assert sign_in.properties["platform"]["enabled"] is True
    assert sign_in.properties["globalValidation"]["requireAuthentication"] is True
    assert sign_in.properties["globalValidation"]["unauthenticatedClientAction"] == "Return401"
    open_paths = sign_in.properties["globalValidation"]["excludedPaths"]
    assert open_paths == ["/api/health", "/runtime/webhooks/EventGrid"]
    # Where sign-in does not stand before the app, the app reads none of its headers; the webhook is the host's own.
    assert {path for path in open_paths if path.startswith("/api/")} == OPEN_PATHS
    assert forged_sign_in.PATH in OPEN_PATHS

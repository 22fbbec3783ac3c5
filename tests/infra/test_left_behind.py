"""What the hook finds that no setting explains."""

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from attrs import evolve
from azure.core.credentials import AccessToken

from infra.hooks.errors import ReleaseError
from infra.hooks.left_behind import HOLDERS, Deployed, LeftBehind
from infra.hooks.resource_manager import ResourceManager
from infra.hooks.target import Target
from tests.infra.bicep import Infra
from tests.infra.kinds import ROLE

TARGET = Target(
    subscription="s",
    group="g",
    workspace="w",
    container="releases",
    blobs="https://stkedja.blob.core.windows.net/",
    app="app",
    url="https://app.azurewebsites.net",
)
ASKED = {
    "dataWriters": "User:anna, Group:team",
    "scriptWriters": "User:anna",
    "readers": "",
    "administrators": "",
    "deployer": "User:dora",
    "gpuMaxNodes": 1,
    "gpuSize": "Standard_NC4as_T4_v3",
    "gpuPriority": "Dedicated",
    "alertEmails": "anna@example.com",
    "ownPrincipals": ["app", "job"],
}
ROLES = json.loads(Infra.load().texts["roles/definitions.json"])


class Azure:
    """Answers with role assignments, in pages of one, and with the cluster."""

    def __init__(self) -> None:
        self.assignments: list[dict[str, Any]] = []
        self.cluster: dict[str, str] | None = None
        self.status = 200

    def give(self, who: str, role: str, container: str) -> None:
        scope = TARGET.container_id(container)
        properties = {
            "principalId": who,
            "principalType": "User",
            "scope": scope.upper(),
            "roleDefinitionId": f"/providers/roleDefinitions/{ROLES[role]}",
        }
        self.assignments.append({"id": f"{scope}/assignment-of-{who}", "properties": properties})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "/computes/" in path:
            assert path.endswith("/workspaces/w/computes/gpu-cluster")
            return httpx.Response(200 if self.cluster else 404, json={"properties": {"properties": self.cluster}})
        if self.status != httpx.codes.OK:
            return httpx.Response(self.status, json={"error": {"code": "AuthorizationFailed"}})
        assert request.url.params["$filter"] == "atScope()"
        scope = path.removesuffix("/providers/Microsoft.Authorization/roleAssignments")
        # An assignment of the resource group is in the answer too, and is nobody's business here.
        above = {"id": "above", "properties": {"principalId": "owner", "scope": "/subscriptions/s/resourceGroups/g"}}
        found = [above, *(each for each in self.assignments if each["properties"]["scope"] == scope.upper())]
        page = int(request.url.params.get("page", "0"))
        content: dict[str, Any] = {"value": found[page : page + 1]}
        if page + 1 < len(found):
            content["nextLink"] = str(request.url.copy_set_param("page", str(page + 1)))
        return httpx.Response(200, json=content)


class Credential:
    def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken("token", 0)


@pytest.fixture
def azure() -> Azure:
    azure = Azure()
    azure.give("ANNA", "blobDataContributor", "data")
    azure.give("team", "blobDataContributor", "data")
    azure.give("anna", "blobDataContributor", "scripts")
    azure.give("dora", "blobDataContributor", "receipts")
    azure.give("dora", "blobDataContributor", "releases")
    azure.give("job", "blobDataReader", "releases")
    azure.give("app", "blobDataContributor", "models")
    return azure


def look(azure: Azure, **asked: object) -> LeftBehind:
    manager = ResourceManager(http=httpx.Client(transport=httpx.MockTransport(azure)), credential=Credential())
    parameters: Mapping[str, Any] = {**ASKED, **asked}
    return LeftBehind(deployed=Deployed(parameters=parameters), target=TARGET, manager=manager)


def test_what_settings_explain_is_no_warning(azure: Azure) -> None:
    assert list(look(azure).warnings()) == []


def test_somebody_who_was_taken_off_a_list_is_named_with_what_to_do(azure: Azure) -> None:
    (warning,) = look(azure, scriptWriters="").warnings()

    assert warning.startswith("User anna holds blobDataContributor on scripts, and no setting says so.")
    assert warning.endswith(f"az role assignment delete --ids {TARGET.container_id('scripts')}/assignment-of-anna")


def test_a_role_that_is_wider_than_its_list_is_named(azure: Azure) -> None:
    azure.give("rita", "blobDataReader", "receipts")
    azure.give("rita", "blobDataContributor", "receipts")

    (warning,) = look(azure, readers="User:rita").warnings()

    assert warning.startswith("User rita holds blobDataContributor on receipts")


def test_who_may_not_list_assignments_is_told_so(azure: Azure) -> None:
    azure.status = 403

    warnings = list(look(azure).warnings())

    assert len(warnings) == len(HOLDERS)
    assert all(re.search(r"could not be listed: .* answered 403", each) for each in warnings)


def test_a_cluster_that_no_setting_asks_for_fails_the_hook(azure: Azure) -> None:
    look(azure, gpuMaxNodes=0).check_that_the_cluster_is_gone()
    azure.cluster = {"vmSize": "STANDARD_NC4AS_T4_V3"}
    look(azure).check_that_the_cluster_is_gone()

    with pytest.raises(ReleaseError, match=r"KEDJA_GPU_MAX_NODES is 0, but .* az ml compute delete --name gpu-cluster"):
        look(azure, gpuMaxNodes=0).check_that_the_cluster_is_gone()


@pytest.mark.parametrize(
    ("asked", "setting"),
    [
        ({"gpuSize": "Standard_NC24ads_A100_v4"}, "KEDJA_GPU_SIZE"),
        ({"gpuPriority": "LowPriority"}, "KEDJA_GPU_PRIORITY"),
    ],
)
def test_a_cluster_that_kept_its_size_or_priority_is_named(azure: Azure, asked: dict[str, str], setting: str) -> None:
    azure.cluster = {"vmSize": "STANDARD_NC4AS_T4_V3", "vmPriority": "Dedicated"}
    assert list(look(azure).warnings()) == []

    (warning,) = look(azure, **asked).warnings()

    assert warning.startswith(f"{setting} is {next(iter(asked.values()))}, but the cluster keeps ")


def test_alerts_that_reach_nobody_are_a_warning(azure: Azure) -> None:
    (warning,) = look(azure, alertEmails=" ,").warnings()

    assert warning.startswith("Alerts and the budget's warnings reach nobody")


def test_what_was_deployed_has_to_be_there() -> None:
    assert Deployed.read({"KEDJA_DEPLOYED": '{"readers": "User:a"}'}).principals("readers") == {"a"}
    with pytest.raises(ReleaseError, match="KEDJA_DEPLOYED is no JSON"):
        Deployed.read({})


def test_the_bicep_puts_out_what_is_compared() -> None:
    output = Infra.load()["main.bicep"].outputs["KEDJA_DEPLOYED"]

    named = dict(re.findall(r"^  (\w+): (\S+)$", output, re.MULTILINE))
    assert set(named) == set(ASKED)
    assert all(value == name for name, value in named.items() if name != "ownPrincipals")
    assert len(re.findall(r"^    \w+\.outputs\.\w+PrincipalId$", output, re.MULTILINE)) == 4


def test_the_holders_are_those_that_the_bicep_assigns() -> None:
    lists = {
        "dataPrincipals": {"dataWriters", "deployer"},
        "scriptPrincipals": {"scriptWriters"},
        "readPrincipals": {"readers"},
        "administratorPrincipals": {"administrators", "deployer"},
        "deployers": {"deployer"},
    }
    file = Infra.load()["roles/people.bicep"]
    titles = {identifier: name for name, identifier in ROLES.items()}
    assigned = set()
    for each in file.made(ROLE):
        source = re.search(rf"resource {each.symbol} [^\n]*\n  for entry in (\w+):", file.text)
        assert source
        container = each.body["scope"].label.rpartition("/")[2]
        role = titles[each.properties["roleDefinitionId"].rpartition("/")[2]]
        assigned |= {(container, role, name) for name in lists[source[1]]}
    assert {
        (container, role, name)
        for container, roles in HOLDERS.items()
        for role, names in roles.items()
        for name in names
    } == assigned
    assert (
        evolve(TARGET, blobs="https://other.blob.example")
        .container_id("data")
        .endswith("/storageAccounts/other/blobServices/default/containers/data")
    )

"""There is no key anywhere."""

import re

from tests.infra.bicep import Infra
from tests.infra.kinds import ACCOUNT, LOGS, REGISTRY, SITE, TOPIC, VAULT, WORKSPACE

_SECRET = r"AccountKey|SharedAccessKey|DefaultEndpointsProtocol|sig=|primaryKey|instrumentationKey"


def check_nothing_lists_keys(infra: Infra) -> None:
    for path, text in infra.texts.items():
        assert not re.search(r"\blist(Account|Service)?(Keys|Secrets|Sas|Credentials)\b|\.list\w+\(", text), path


def check_no_connection_string(infra: Infra) -> None:
    for path, text in infra.texts.items():
        assert not re.search(_SECRET, text, re.IGNORECASE), path
    # What Application Insights calls so holds no secret once local authentication is off.
    uses = {path for path, text in infra.texts.items() if "ConnectionString" in text}
    assert uses == {"modules/monitoring.bicep"}
    assert infra.one("Microsoft.Insights/components").properties["DisableLocalAuth"] is True


def check_no_secret_leaves_by_an_output(infra: Infra) -> None:
    for file in infra.files.values():
        for name in file.outputs:
            assert not re.search(r"secret|password|token|key$", name, re.IGNORECASE), f"{file.path}: {name}"


def check_shared_keys_are_off(infra: Infra) -> None:
    accounts = infra.made(ACCOUNT)
    assert len(accounts) == 2
    for account in accounts:
        assert account.properties["allowSharedKeyAccess"] is False
        assert account.properties["defaultToOAuthAuthentication"] is True


def check_local_authentication_is_off(infra: Infra) -> None:
    assert infra.one(TOPIC).properties["disableLocalAuth"] is True
    assert infra.one(LOGS).properties["features"]["disableLocalAuth"] is True
    assert infra.one(f"{WORKSPACE}/computes").properties["disableLocalAuth"] is True
    assert infra.one(REGISTRY).properties["adminUserEnabled"] is False
    assert infra.one(REGISTRY).properties["anonymousPullEnabled"] is False
    assert infra.one(VAULT).properties["enableRbacAuthorization"] is True


def check_basic_publishing_is_off(infra: Infra) -> None:
    policies = {each.name: each.properties for each in infra.made(f"{SITE}/basicPublishingCredentialsPolicies")}
    assert policies == {"ftp": {"allow": False}, "scm": {"allow": False}}


def check_datastores_have_no_credentials(infra: Infra) -> None:
    stores = {each.name: each.properties for each in infra.made(f"{WORKSPACE}/datastores")}
    for properties in stores.values():
        assert properties["datastoreType"] == "AzureBlob"
        assert properties["credentials"] == {"credentialsType": "None"}
    assert infra.one(WORKSPACE).properties["systemDatastoresAuthMode"] == "Identity"

"""Compute, the app, and who watches them."""

import json
import re

import anyio
import anyio.to_thread

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef
from tests.infra import kedja_facts
from tests.infra.bicep import Infra, Unknown
from tests.infra.kinds import SITE, WORKSPACE, settings


def check_compute(infra: Infra) -> None:
    cluster = infra.one(f"{WORKSPACE}/computes")
    assert cluster.condition == "gpuMaxNodes > 0", "no GPU quota must not stop a deployment"
    properties = cluster.properties["properties"]
    assert cluster.properties["computeType"] == "AmlCompute"
    assert properties["scaleSettings"] == {
        "minNodeCount": 0,
        "maxNodeCount": Unknown("gpuMaxNodes"),
        "nodeIdleTimeBeforeScaleDown": "PT120S",
    }
    assert properties["remoteLoginPortPublicAccess"] == "Disabled"
    assert properties["vmSize"] == Unknown("gpuSize")
    assert properties["vmPriority"] == Unknown("gpuPriority")
    assert cluster.body["identity"]["userAssignedIdentities"] == {"${jobIdentityId}": {}}
    assert "@minValue(0)" in infra["main.bicep"].decorators["gpuMaxNodes"]


def check_flex_consumption(infra: Infra) -> None:
    site = infra.one(SITE)
    config = site.properties["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert site.body["kind"] == "functionapp,linux"
    assert "'azd-service-name': 'app'" in site.body["tags"].text
    scale = config["scaleAndConcurrency"]
    # For Python the default is one request an instance: each open page would keep one.
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": Unknown("httpConcurrency")}}
    assert scale["maximumInstanceCount"] == Unknown("maximumInstances")
    plan = infra.one("Microsoft.Web/serverfarms").body
    assert plan["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    assert plan["properties"] == {"reserved": True}
    not_on_flex = {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE"}
    assert not not_on_flex & set(settings(infra))


def check_http_concurrency(infra: Infra) -> None:
    main = infra["main.bicep"]
    (default,) = re.findall(r"param httpConcurrency int = (\d+)\n", main.text)
    threads = anyio.run(_threads)
    assert int(default) == threads, "more requests than threads wait for each other; docs/scale.md argues for this"
    decorators = main.decorators["httpConcurrency"]
    assert "@minValue(1)" in decorators
    assert "@maxValue(1000)" in decorators
    (module,) = [each for each in main.modules if each.symbol == "functionApp"]
    assert "httpConcurrency: httpConcurrency" in module.text
    passed = json.loads(infra.texts["main.parameters.json"])["parameters"]["httpConcurrency"]["value"]
    assert passed == f"${{KEDJA_HTTP_CONCURRENCY={default}}}"


async def _threads() -> int:
    """Return how many threads the framework gives to the requests of a process."""
    return int(anyio.to_thread.current_default_thread_limiter().total_tokens)


def check_alerts(infra: Infra) -> None:
    metrics = infra.made("Microsoft.Insights/metricAlerts")
    watched = {
        (each.properties["scopes"][0].text.rpartition(".")[2], each.properties["criteria"]["allOf"][0]["metricName"])
        for each in metrics
    }
    assert watched == {
        ("workspaceId", "Failed Runs"),
        ("storageTopicId", "DeadLetteredCount"),
        ("storageTopicId", "DroppedEventCount"),
        ("workspaceTopicId", "DeadLetteredCount"),
        ("workspaceTopicId", "DroppedEventCount"),
    }
    for each in metrics:
        criterion = each.properties["criteria"]["allOf"][0]
        assert (criterion["operator"], criterion["threshold"], criterion["timeAggregation"]) == (
            "GreaterThan",
            0,
            "Total",
        )
        assert each.properties["actions"][0]["actionGroupId"] == Unknown("actionGroupId")
        assert each.properties["enabled"] is True
    rules = {each.symbol: each.properties for each in infra.made("Microsoft.Insights/scheduledQueryRules")}
    assert set(rules) == {"poison", "errors"}
    for rule in rules.values():
        assert rule["actions"]["actionGroups"] == [Unknown("actionGroupId")]
        assert rule["enabled"] is True
    poison = rules["poison"]["criteria"]["allOf"][0]
    functions = {name for name, queue in kedja_facts.functions().items() if (queue or "").endswith("-poison")}
    assert set(re.findall(r"'(\w+)'", poison["query"])) == functions
    assert poison["threshold"] == 0
    sampled = kedja_facts.host()["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"]
    assert "Request" in sampled, "what the alerts count must not be sampled away"


def check_budget(infra: Infra) -> None:
    budget = infra.one("Microsoft.Consumption/budgets").properties
    assert budget["timeGrain"] == "Monthly"
    thresholds = {(each["thresholdType"], each["threshold"]) for each in budget["notifications"].values()}
    assert thresholds == {("Actual", 80), ("Forecasted", 100)}
    assert budget["timePeriod"] == {"startDate": Unknown("startDate")}
    module = next(each for each in infra["main.bicep"].modules if each.symbol == "budget")
    assert "= if (budgetAmount > 0)" in module.text


def check_workbook(infra: Infra) -> None:
    book = json.loads(infra.texts["workbook.json"])
    queries = {item["name"]: item["content"]["query"] for item in book["items"] if item["type"] == 3}
    assert set(queries) == {"drops", "jobs", "gpu-hours", "node-hours", "trouble"}
    assert f"/{naming.RECEIPTS}/.by-time/" in queries["drops"]
    assert f"/{naming.DEAD_LETTER}/" in queries["trouble"]
    found = re.fullmatch(r"^(.*)-[0-9a-f]{16}-[0-9]+$", naming.job_name(DropRef("digits", "ab" * 32), 2))
    assert found
    assert found[1] == "digits"
    for name in ("jobs", "gpu-hours"):
        assert "-[0-9a-f]{16}-[0-9]+$" in queries[name], "jobs of Kedja's by their names"

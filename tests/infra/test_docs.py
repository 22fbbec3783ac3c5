"""What docs/deploy.md and docs/security.md say is there."""

import json
import re

from tests.infra.bicep import ROOT, Infra

DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

KEPT_BY_AZD = {"KEDJA_BUDGET_START", "KEDJA_TRAINING_CODE", "KEDJA_ENVIRONMENT"}
OF_THE_HOOK = {"KEDJA_SMOKE_DROP"}


def parameters() -> dict[str, str]:
    """Return the environment variables of main.parameters.json with their defaults."""
    text = Infra.load().texts["main.parameters.json"]
    values = [each["value"] for each in json.loads(text)["parameters"].values()]
    found = (re.fullmatch(r"\$\{(\w+)(?:=(.*))?\}", value) for value in values)
    return {each[1]: each[2] or "" for each in found if each}


def test_every_parameter_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `((?:KEDJA|AZURE)_\w+)` \| ([^|]*)\|", DEPLOY, re.MULTILINE))

    given = {name: default for name, default in parameters().items() if name.startswith("KEDJA_")}
    assert set(rows) == (set(given) - KEPT_BY_AZD) | OF_THE_HOOK | {"AZURE_PRINCIPAL_TYPE"}
    for name, default in given.items():
        if default:
            assert rows[name].strip("` ") == default, name


def test_every_file_that_is_named_exists() -> None:
    paths = set(re.findall(r"`((?:modules|roles)/[\w.-]+)`", SECURITY))

    assert paths
    assert {path for path in paths if not (ROOT / "infra" / path).is_file()} == set()
    named = set(re.findall(r"`((?:infra|function_app|\.github|local_azure)/[\w./-]+\w)`", DEPLOY + SECURITY))
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_every_line_of_the_baseline_is_where_it_is_said_to_be() -> None:
    texts = Infra.load().texts
    rows = re.findall(r"^\| [^|]+ \| `((?:modules|roles)/[\w.-]+)`: ([^|]*) \|$", SECURITY, re.MULTILINE)

    assert rows
    for path, words in rows:
        for word in re.findall(r"`([\w]+)`", words):
            assert re.search(rf"\b{word}\b", texts[path]), f"{word} in {path}"


def test_the_sum_of_the_costs_is_right() -> None:
    registry, premium, endpoints, zones, app = 5.08, 50.74, 10 * 7.30, 9 * 0.50, 8640 * 2 * 7 * 0.000026
    infra = Infra.load()
    metrics, queries = (infra.made(f"Microsoft.Insights/{kind}") for kind in ("metricAlerts", "scheduledQueryRules"))
    alerts = len(metrics) * 0.10 + len(queries) * 1.50
    assert {rule.properties["evaluationFrequency"] for rule in queries} == {"PT5M"}, "what 1.50 is the price of"

    assert f"{endpoints:.2f}" in DEPLOY
    assert f"{app:.2f}" == "3.14"
    assert "else up to 3.14 |" in DEPLOY
    assert f"| alerts | {alerts:.2f} |" in DEPLOY
    assert f"**{registry + alerts:.0f} to {registry + alerts + app:.0f}**" in DEPLOY
    low = premium + endpoints + zones + alerts
    assert f"**{low:.0f} to {low + app:.0f}, and" in DEPLOY
    file = infra["modules/private-endpoints.bicep"]
    assert len(file.variables["targets"]) + 1 == 10, "and the app's own"
    assert len(file.variables["zoneNames"]) == 9

"""The Logic App of examples/notifications says what events hold, and holds no secret."""

import json
import re

from tests.infra.bicep import ROOT, Infra

FOLDER = ROOT / "examples" / "notifications"
WORKFLOW = json.loads((FOLDER / "workflow.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8"))


def test_the_template_parses_and_gives_the_workflow_its_parameters() -> None:
    infra = Infra.load(FOLDER)
    workflow = infra.one("Microsoft.Logic/workflows")

    assert infra["main.bicep"].broken == ()
    assert set(workflow.properties["parameters"]) == set(WORKFLOW["parameters"])
    assert infra.one("Microsoft.Authorization/roleAssignments").condition == "hasMail"


def test_it_speaks_of_fields_that_events_have() -> None:
    used = set(re.findall(r"\['data'\]\?\['(\w+)'\]", json.dumps(WORKFLOW)))

    assert used == {"folder", "model", "version", "reason", "receipt"}
    for field in used:
        assert f'"{field}"' in json.dumps(SCHEMA), field


def test_the_chats_address_is_kept_out_of_sight() -> None:
    assert "@secure()" in Infra.load(FOLDER)["main.bicep"].decorators["chatAddress"]
    assert WORKFLOW["parameters"]["chatAddress"]["type"] == "SecureString"
    chat = WORKFLOW["actions"]["If_chat"]["actions"]["Chat"]
    assert chat["runtimeConfiguration"] == {"secureData": {"properties": ["inputs"]}}
    assert WORKFLOW["actions"]["If_mail"]["actions"]["Mail"]["inputs"]["authentication"]["type"] == (
        "ManagedServiceIdentity"
    )

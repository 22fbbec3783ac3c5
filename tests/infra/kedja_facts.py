"""What the code says, for the Bicep to be held to. Nothing here is a name of its own."""

import ast
import json
import re
from functools import cache
from typing import Any

from tests.infra.bicep import ROOT

CODE = ROOT / "function_app"
_SETTING = re.compile(r"KEDJA_[A-Z_]+|AZURE_CLIENT_ID")

NOT_FROM_BICEP = {
    "KEDJA_EVENT_GRID_KEY": "one machine; in Azure the identity is used",
    "KEDJA_MAX_WAIT": "its default serves",
    "KEDJA_QUIET_PERIOD": "its default serves",
    "KEDJA_START_DEADLINE": "its default serves",
    "KEDJA_TIMING": "for tests and local stacks",
    "KEDJA_TRAINING_SERVICE": "its default is Azure ML",
    "KEDJA_WORKSPACE_CONFIG": "a file, for people's own machines",
    "KEDJA_LOCAL_TRAINING": "one machine",
    "KEDJA_EXPORT": "a variable of jobs, made from job.yaml",
}
"""Settings that the code reads and the Bicep does not write, with the reason."""

OF_THE_PLATFORM = (
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsDisableHomepage",
    "PYTHON_SCRIPT_FILE_NAME",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
)
"""Settings that the Functions host reads."""


@cache
def settings_in_code() -> frozenset[str]:
    """Return every name of a setting that stands as a string of its own somewhere in the service."""
    return frozenset(
        node.value
        for path in CODE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SETTING.fullmatch(node.value)
    )


@cache
def triggers() -> dict[str, Any]:
    """Return the trigger of each of the app's functions, as the Functions host will find them."""
    from function_app.triggers import app  # noqa: PLC0415 - importing it builds the app

    app.functions_bindings = {}  # an app takes each of its functions for a second one when it is asked twice
    found = {str(function.get_function_name()): function.get_trigger() for function in app.get_functions()}
    app.functions_bindings = {}
    return found


def functions() -> dict[str, str | None]:
    """Return the queue that triggers each of the app's functions, if one does."""
    return {name: getattr(trigger, "queue_name", None) for name, trigger in triggers().items()}


def connections() -> set[str]:
    """Return the setting prefixes that triggers take their connection from."""
    return {connection for each in triggers().values() if (connection := getattr(each, "connection", None))}


@cache
def local_subscriptions() -> dict[str, Any]:
    """Return the event subscriptions of the stack on one machine."""
    topics: dict[str, Any] = json.loads(
        (ROOT / "local_azure" / "event_grid" / "subscriptions.json").read_text(encoding="utf-8")
    )["topics"]
    return topics


@cache
def host() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    return content

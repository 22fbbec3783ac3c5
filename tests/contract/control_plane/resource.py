"""A tracked resource of Azure's resource manager, as Microsoft.MachineLearningServices answers it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.contract.control_plane.calls import Answer, Call, error

type Resource = dict[str, Any]

PROVIDER = "Microsoft.MachineLearningServices/workspaces"
PAGE = 10
"""How many resources stand in one page: few, so that a test that lists a dozen sees a second one."""


def resource(arm_id: str, properties: Mapping[str, Any], **more: object) -> Resource:
    """Return a ProxyResource with its SystemData."""
    _, _, inner = arm_id.partition("/workspaces/")
    types = inner.split("/")[1::2]
    now = timestamp()
    return {
        "id": arm_id,
        "name": arm_id.rsplit("/", 1)[1],
        "type": "/".join([PROVIDER, *types]),
        "properties": dict(properties),
        "systemData": {
            "createdAt": now,
            "createdBy": "Kedja",
            "createdByType": "Application",
            "lastModifiedAt": now,
            "lastModifiedBy": "Kedja",
            "lastModifiedByType": "Application",
        },
        **more,
    }


def timestamp() -> str:
    """Return the time in UTC, in RFC 3339 with microseconds."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def page_of(call: Call, base_url: str, resources: Sequence[Resource]) -> Answer:
    """Return one page of a …ResourceArmPaginatedResult, of which `nextLink` leads to the next."""
    start = int(call.query.get("$skip", "0"))
    size = min(PAGE, int(call.query.get("$top", PAGE)))
    body: dict[str, Any] = {"value": list(resources[start : start + size])}
    if start + size < len(resources) and "$top" not in call.query:
        query = "&".join(f"{key}={value}" for key, value in {**call.query, "$skip": str(start + size)}.items())
        body["nextLink"] = f"{base_url}{call.path}?{query}"
    return Answer(status=200, body=body)


def not_found(arm_id: str) -> Answer:
    return Answer(status=404, body=error("ResourceNotFound", f"The resource {arm_id} was not found."))


def user_error(message: str) -> Answer:
    return Answer(status=400, body=error("UserError", message))

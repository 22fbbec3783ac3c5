"""Registered models: ModelContainer and ModelVersion resources."""

import re
import threading
from typing import Any

from tests.contract.control_plane.calls import Answer, Call
from tests.contract.control_plane.jobs import Jobs
from tests.contract.control_plane.resource import Resource, not_found, page_of, resource, user_error

_JOB_PATH = re.compile(r"azureml://jobs/(?P<job>[^/]+)/outputs/artifacts/paths/(?P<path>.+)")


class Models:
    """Model versions under one workspace. A version's path never changes; the rest of it does."""

    def __init__(self, arm_id: str, base_url: str, jobs: Jobs) -> None:
        self._arm_id = arm_id
        self._base_url = base_url
        self._jobs = jobs
        self._lock = threading.RLock()
        self._models: dict[str, dict[str, Resource]] = {}

    def put(self, call: Call, name: str, version: str) -> Answer:
        sent: dict[str, Any] = call.body["properties"]
        found = _JOB_PATH.fullmatch(sent["modelUri"])
        if not found or not self._jobs.has_artifact(found["job"], found["path"]):
            return user_error(f"The artifact {sent['modelUri']} does not exist.")
        arm_id = f"{self._arm_id}/models/{name}/versions/{version}"
        defaults = {"flavors": {}, "provisioningState": "Succeeded"}
        with self._lock:
            versions = self._models.setdefault(name, {})
            known = versions.get(version)
            if known and known["properties"]["modelUri"] != sent["modelUri"]:
                return user_error("Asset paths cannot be updated.")
            sent_properties = {key: value for key, value in sent.items() if value is not None}
            changed = {**(known["properties"] if known else {}), **defaults, **sent_properties}
            versions[version] = {**known, "properties": changed} if known else resource(arm_id, changed)
            return Answer(status=200 if known else 201, body=versions[version])

    def get(self, _: Call, name: str, version: str) -> Answer:
        with self._lock:
            found = self._models.get(name, {}).get(version)
            return Answer(status=200, body=found) if found else not_found(f"{self._arm_id}/models/{name}:{version}")

    def get_container(self, _: Call, name: str) -> Answer:
        with self._lock:
            if name not in self._models:
                return not_found(f"{self._arm_id}/models/{name}")
            return Answer(status=200, body=self._container(name))

    def list(self, call: Call) -> Answer:
        with self._lock:
            return page_of(call, self._base_url, [self._container(name) for name in self._models])

    def list_versions(self, call: Call, name: str) -> Answer:
        """List the newest first; archived ones only where `listViewType` asks for them."""
        with self._lock:
            if name not in self._models:
                return not_found(f"{self._arm_id}/models/{name}")
            view = call.query.get("listViewType", "ActiveOnly")
            wanted = {"All": (True, False), "ArchivedOnly": (True,)}.get(view, (False,))
            versions = list(self._models[name].values())[::-1]
            shown = [each for each in versions if bool(each["properties"].get("isArchived")) in wanted]
            return page_of(call, self._base_url, shown)

    def _container(self, name: str) -> Resource:
        numbers = [int(version) for version in self._models[name] if version.isdecimal()]
        return resource(
            f"{self._arm_id}/models/{name}",
            {
                "isArchived": False,
                "latestVersion": list(self._models[name])[-1],
                "nextVersion": str(max(numbers, default=0) + 1),
                "tags": {},
                "properties": {},
            },
        )

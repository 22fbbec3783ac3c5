"""Azure's resource manager, as far as a release needs it."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from attrs import frozen
from azure.core.credentials import TokenCredential

from infra.hooks.errors import Refusal

RESOURCE_MANAGER = "https://management.azure.com"
MACHINE_LEARNING, WEB, AUTHORIZATION = "2025-12-01", "2025-03-01", "2022-04-01"
"""API versions."""


@frozen(kw_only=True)
class ResourceManager:
    """Calls it as the principal that `credential` signs in."""

    http: httpx.Client
    credential: TokenCredential

    def call(
        self, method: str, path: str, version: str, body: Mapping[str, Any] | None = None, *, missing: bool = False
    ) -> dict[str, Any]:
        """Return what it answers, or nothing where the resource may be missing and is.

        Raises:
            Refusal: where it answers with any other error.
        """
        try:
            return self._send(method, f"{RESOURCE_MANAGER}{path}", {"api-version": version}, body)
        except Refusal as refusal:
            if missing and refusal.status_code == httpx.codes.NOT_FOUND:
                return {}
            raise

    def role_assignments(self, scope: str) -> Iterator[Mapping[str, Any]]:
        """Yield each role assignment on a resource itself, none of those that it inherits."""
        url = f"{RESOURCE_MANAGER}{scope}/providers/Microsoft.Authorization/roleAssignments"
        query: Mapping[str, str] | None = {"api-version": AUTHORIZATION, "$filter": "atScope()"}
        while url:
            page = self._send("GET", url, query, None)
            for each in page["value"]:
                if each["properties"]["scope"].lower() == scope.lower():
                    yield each
            url, query = page.get("nextLink", ""), None

    def _send(
        self, method: str, url: str, query: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        token = self.credential.get_token(f"{RESOURCE_MANAGER}/.default").token
        answer = self.http.request(method, url, params=query, json=body, headers={"Authorization": f"Bearer {token}"})
        if answer.is_error:
            path = httpx.URL(url).path
            raise Refusal(answer.status_code, f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        content: dict[str, Any] = answer.json()
        return content

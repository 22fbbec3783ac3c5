"""A request with a forged sign-in, which a deployed app has to refuse."""

import base64
import json
from collections.abc import Callable, Mapping

import httpx
from attrs import frozen

from function_app.http.callers import APP_ROLES
from infra.hooks.errors import Refusal, ReleaseError
from infra.hooks.patience import PASSING, Patience
from infra.hooks.target import Target

PATH = "/api/health"
"""Sign-in lets everyone reach this path, so the platform may pass on the headers that stand for a sign-in."""

_STARTING = frozenset({httpx.codes.NOT_FOUND})
"""What the platform answers, too, until a new app has been loaded."""


@frozen(kw_only=True)
class ForgedSignIn:
    """Sends it. `http` follows no redirects."""

    target: Target
    http: httpx.Client
    say: Callable[[str], None]
    sleep: Callable[[float], None]

    def check_refused(self) -> None:
        """See that the app refuses it (401).

        Raises:
            ReleaseError: if the app takes it for a sign-in, or answers anything else, once it answers at all.
        """
        patience = Patience(say=self.say, sleep=self.sleep, passing=PASSING | _STARTING)
        patience.until_it_works(self._send)
        self.say("The app refuses a forged sign-in.")

    def _send(self) -> None:
        answer = self.http.get(f"{self.target.url}{PATH}", params={"deep": "true"}, headers=forged_headers())
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            return
        if _is_believed(answer):
            raise ReleaseError(
                f"{self.target.url}{PATH} takes headers that anyone can write for a sign-in (it answered "
                f"{answer.status_code}). Stop the app (az functionapp stop --name {self.target.app} --resource-group "
                f"{self.target.group}), and deploy a release that refuses them."
            )
        raise Refusal(
            answer.status_code,
            f"{self.target.url}{PATH} answered a forged sign-in with {answer.status_code}, where 401 refuses it: "
            f"{answer.text[:200]!r}. Until it does, do not rely on who calls the API.",
        )


def forged_headers() -> Mapping[str, str]:
    """Return the headers of someone who has every role of Kedja's, as Easy Auth writes them.

    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    claims = [{"typ": "roles", "val": role} for role in APP_ROLES]
    principal = {"auth_typ": "aad", "name_typ": "name", "role_typ": "roles", "claims": claims}
    return {
        "X-MS-CLIENT-PRINCIPAL": base64.b64encode(json.dumps(principal).encode()).decode(),
        "X-MS-CLIENT-PRINCIPAL-ID": "00000000-0000-0000-0000-000000000000",
        "X-MS-CLIENT-PRINCIPAL-NAME": "forged@example.com",
        "X-MS-CLIENT-PRINCIPAL-IDP": "aad",
    }


def _is_believed(answer: httpx.Response) -> bool:
    """Return whether the app answers as it does to someone whom it knows, with a role or without."""
    if answer.is_success:
        return True
    try:
        document = answer.json()
    except ValueError:
        return False
    if not isinstance(document, dict):
        return False
    # A part that does not work is told with 503, and who has no role gets 403; a gateway's own answers are neither.
    return "checks" in document or document.get("type") == "urn:kedja:problem:role-missing"

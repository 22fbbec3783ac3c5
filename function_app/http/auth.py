"""Authorization: dependencies with which a route declares the role that its caller needs."""

import functools
from collections.abc import Callable
from typing import Annotated

from attrs import frozen
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from function_app.http.api_keys import ApiKeys
from function_app.http.callers import KEY_PREFIX, Caller, Callers, Role
from function_app.http.long_poll import SharedJournalReader
from function_app.operations.service import Kedja

_BEARER = HTTPBearer(auto_error=False, description="A Kedja API key, or an Entra ID token if Easy Auth is on.")
_KEY = APIKeyHeader(name="X-Kedja-Key", auto_error=False, description="A Kedja API key: kedja_<id>_<secret>.")


class AuthContext:
    """What the routes need to authenticate callers and to reach the service; `app.state.access`."""

    def __init__(self, kedja: Callable[[], Kedja], callers: Callers, event_origins: tuple[str, ...]) -> None:
        self.kedja = kedja
        self.callers = callers
        self.event_origins = event_origins

    @functools.cached_property
    def keys(self) -> ApiKeys:
        """The API keys, with a cache of recent lookups."""
        return ApiKeys(blobs=self.kedja().blobs)

    @functools.cached_property
    def watch(self) -> SharedJournalReader:
        """The journal, shared by all requests that wait for new entries."""
        return SharedJournalReader(self.kedja().receipts.journal)

    def _find(self, key: str) -> Caller | None:
        # A request without a key needs no storage, so `keys` is created only here.
        return self.keys.find(key)

    def caller(self, request: Request, *, key_in_query: bool = False) -> Caller:
        """Return the caller of a request.

        Raises:
            Unauthenticated: the caller is unknown.
        """
        key = request.headers.get("X-Kedja-Key") or _bearer_key(request.headers.get("Authorization", ""))
        if key is None and key_in_query:
            key = request.query_params.get("key")
        return self.callers.identify(request.headers, key, self._find, path=request.scope["path"])


def access_of(request: Request) -> AuthContext:
    """Return the auth context of the app that received a request."""
    access: AuthContext = request.app.state.access
    return access


@frozen
class RequireRole:
    """A dependency: a caller with the role, who sees every experiment if `everything` is set.

    `key_in_query` also accepts the key as `?key=`, for webhooks that cannot set a header.
    """

    role: Role
    everything: bool = False
    key_in_query: bool = False

    def __call__(
        self,
        request: Request,
        _bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
        _header: Annotated[str | None, Security(_KEY)],
    ) -> Caller:
        """Return the caller.

        The values that FastAPI finds in the headers are not used; the parameters add them to the OpenAPI document.

        Raises:
            Unauthenticated: the caller is unknown.
            RoleMissing: the caller lacks the role, or does not see every experiment.
        """
        caller = access_of(request).caller(request, key_in_query=self.key_in_query)
        caller.require(self.role, everything=self.everything)
        return caller


def _bearer_key(authorization: str) -> str | None:
    """Return the API key in a header; Easy Auth handles any other token."""
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token.startswith(KEY_PREFIX) else None


DataUser = Annotated[Caller, Depends(RequireRole(Role.DATA))]
"""Anyone with a role. The route limits what they see."""

CodeUser = Annotated[Caller, Depends(RequireRole(Role.CODE))]
"""Someone who may decide which code runs and which model is used, in the experiments that they see."""

GlobalReader = Annotated[Caller, Depends(RequireRole(Role.DATA, everything=True))]
"""Anyone who sees every experiment."""

Operator = Annotated[Caller, Depends(RequireRole(Role.CODE, everything=True))]
"""Someone who may change the whole service."""

READS_AT_ONCE = 16
"""Max concurrent requests to storage or the training service from a route that lists things."""

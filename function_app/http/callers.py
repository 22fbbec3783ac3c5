"""Callers of the HTTP API: who they are, and what they may do."""

import base64
import binascii
import enum
import fnmatch
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import frozen

from function_app.errors import InvalidSettings, RoleMissing, Unauthenticated
from function_app.settings import STORAGE, Settings

ALL_EXPERIMENTS = ("*",)
KEY_PREFIX = "kedja_"

_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""A pattern without wildcards, which matches only one name."""
_IN_AZURE = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME")
_EMULATOR = "UseDevelopmentStorage=true"
_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")


class Role(enum.StrEnum):
    """What a caller may do."""

    DATA = "data"
    """Read what the service has, and submit, cancel and retry jobs of the dropped scripts."""
    CODE = "code"
    """Also decide which code runs, and pause the service."""


OPEN_PATHS = frozenset({"/api/health"})
"""Paths that Easy Auth lets everyone reach (`excludedPaths` in infra/modules/sign-in.bicep).

There, its headers prove nothing: the sender of the request may have set them.
"""

APP_ROLES = {"Kedja.Data": Role.DATA, "Kedja.Code": Role.CODE}
"""The app roles of the Entra ID app registration for Easy Auth."""


class AuthMethod(enum.StrEnum):
    """How a caller authenticates: a value of the setting KEDJA_AUTH."""

    EASY_AUTH = "easy-auth"
    KEYS = "keys"
    LOCAL = "local"


@frozen(kw_only=True)
class Caller:
    """A caller. `experiments` are patterns (fnmatch) of the names of experiments that they may see."""

    name: str
    role: Role | None
    experiments: tuple[str, ...] = ALL_EXPERIMENTS

    @property
    def can_run_code(self) -> bool:
        """Whether the caller may decide which code runs."""
        return self.role is Role.CODE

    @property
    def sees_everything(self) -> bool:
        """Whether the caller sees every experiment."""
        return "*" in self.experiments

    @property
    def only_experiment(self) -> str | None:
        """The only experiment that the caller may see, or None if there may be several."""
        (one, *others) = self.experiments or ("*",)
        return one if not others and _NAME.fullmatch(one) else None

    def can_see(self, experiment: str) -> bool:
        """Return whether the caller may see an experiment, by its name in receipts and jobs."""
        return any(fnmatch.fnmatchcase(experiment, pattern) for pattern in self.experiments)

    def require(self, role: Role, *, everything: bool = False) -> None:
        """Check the caller's role, and with `everything` that they see every experiment.

        Raises:
            RoleMissing: the caller lacks the role, or does not see every experiment.
        """
        if self.role is None:
            raise RoleMissing(
                f"{self.name} has no role in Kedja: assign the app role {' or '.join(APP_ROLES)} in Entra ID."
            )
        if role is Role.CODE and not self.can_run_code:
            raise RoleMissing(f"This requires the role `code`; {self.name} has the role `{self.role}`.")
        if everything and not self.sees_everything:
            raise RoleMissing(
                f"This affects every experiment; {self.name} is limited to {', '.join(self.experiments)}."
            )


@frozen
class Callers:
    """How callers authenticate."""

    methods: frozenset[AuthMethod]

    @classmethod
    def read(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Read the authentication methods from the settings.

        Raises:
            InvalidSettings: a method is unknown, or the settings would open the API to everyone.
        """
        words = [word.strip() for word in (settings.auth or "").split(",") if word.strip()]
        if unknown := sorted(set(words) - set(AuthMethod)):
            raise InvalidSettings(
                f"KEDJA_AUTH is {settings.auth!r}: {', '.join(unknown)} is not one of {', '.join(AuthMethod)}."
            )
        methods = frozenset(map(AuthMethod, words))
        in_azure = any(environ.get(name) for name in _IN_AZURE)
        if AuthMethod.LOCAL in methods and (in_azure or not _is_on_this_machine(environ)):
            raise InvalidSettings(
                "KEDJA_AUTH is local, which lets everyone in. It is only for storage on this machine "
                f"(setting {STORAGE}). Set it to easy-auth, keys or both."
            )
        if in_azure and not methods:
            raise InvalidSettings("KEDJA_AUTH is not set: nobody could call. Set it to easy-auth, keys or both.")
        if AuthMethod.EASY_AUTH in methods and (
            not in_azure or environ.get("WEBSITE_AUTH_ENABLED", "").lower() != "true"
        ):
            raise InvalidSettings(
                "KEDJA_AUTH has easy-auth, but App Service authentication is off for this app: anyone could set its "
                "headers. Turn it on, or set KEDJA_AUTH to keys."
            )
        return cls(methods)

    @property
    def is_local(self) -> bool:
        """Whether everyone on this machine may call."""
        return AuthMethod.LOCAL in self.methods

    def identify(
        self,
        headers: Mapping[str, str],
        key: str | None,
        find_key: Callable[[str], Caller | None],
        *,
        path: str = "",
    ) -> Caller:
        """Return the caller who sent these headers and this key, if any.

        `headers` has names in lower case; `path` is the request's path. An invalid key is rejected even if another
        method would succeed.

        Raises:
            Unauthenticated: the caller is unknown; the message says how to authenticate.
        """
        if not self.methods:
            raise Unauthenticated("KEDJA_AUTH is not set, so nobody can call: set it to easy-auth, keys or local.")
        if key and AuthMethod.KEYS in self.methods:
            caller = find_key(key)
            if caller is None:
                raise Unauthenticated("The key is unknown, expired or revoked.")
            return caller
        # The methods below work without the user's knowledge in a browser, so a page of another site could use them.
        if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            raise Unauthenticated("A page of another site sent this: send a Kedja API key in the header X-Kedja-Key.")
        ways = self.methods - {AuthMethod.EASY_AUTH} if path in OPEN_PATHS else self.methods
        if AuthMethod.EASY_AUTH in ways and "x-ms-client-principal-id" in headers:
            return _principal(headers)
        if AuthMethod.LOCAL in self.methods:
            host = headers.get("host", "localhost")
            if not _is_loopback(f"//{host}"):  # another site's name that resolves to this machine (DNS rebinding)
                raise Unauthenticated(f"{host} is not this machine's name: use localhost or 127.0.0.1.")
            return Caller(name="local", role=Role.CODE)
        if not ways:
            raise Unauthenticated(
                f"{path} is open to everyone, so a sign-in is ignored there: use GET /api/checks instead."
            )
        words = {
            AuthMethod.EASY_AUTH: "sign in through the app's authentication (Authorization: Bearer <Entra ID token>)",
            AuthMethod.KEYS: "send a Kedja API key in the header X-Kedja-Key",
        }
        raise Unauthenticated(
            f"The caller is unknown. To authenticate, {', or '.join(words[method] for method in sorted(ways))}."
        )


def _principal(headers: Mapping[str, str]) -> Caller:
    """Return the caller in Easy Auth's headers.

    https://learn.microsoft.com/azure/app-service/configure-authentication-user-identities
    """
    name = headers.get("x-ms-client-principal-name") or headers["x-ms-client-principal-id"]
    try:
        principal = json.loads(base64.b64decode(headers.get("x-ms-client-principal", ""), validate=True) or b"{}")
        kinds = {*_ROLE_CLAIMS, principal.get("role_typ")}
        values = {claim["val"] for claim in principal.get("claims", ()) if claim["typ"] in kinds}
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unauthenticated("The header X-MS-CLIENT-PRINCIPAL cannot be read.") from error
    roles = {role for word, role in APP_ROLES.items() if word in values}
    return Caller(name=name, role=Role.CODE if Role.CODE in roles else next(iter(roles), None))


def _is_on_this_machine(environ: Mapping[str, str]) -> bool:
    connection = environ.get(STORAGE)
    if connection is None:
        return _is_loopback(environ.get(f"{STORAGE}__blobServiceUri", ""))
    parts: dict[str, Any] = dict(part.partition("=")[::2] for part in connection.split(";") if part)
    if "BlobEndpoint" in parts:
        return _is_loopback(parts["BlobEndpoint"])
    return connection.strip().rstrip(";") == _EMULATOR


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

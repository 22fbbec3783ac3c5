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

EVERY = ("*",)
KEY_PREFIX = "kedja_"

_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""A pattern that only one name matches."""
_IN_AZURE = ("WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "CONTAINER_APP_NAME")
_EMULATOR = "UseDevelopmentStorage=true"
_ROLE_CLAIMS = ("roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role")


class Role(enum.StrEnum):
    """What a caller may do."""

    DATA = "data"
    """See things, and start, cancel and retry what the dropped scripts already do."""
    CODE = "code"
    """Also decide what code runs, and pause the service."""


OPEN_PATHS = frozenset({"/api/health"})
"""Paths that Easy Auth lets everyone reach (`excludedPaths` in infra/modules/sign-in.bicep).

There its headers prove nothing: whoever sends the request may have written them.
"""

APP_ROLES = {"Kedja.Data": Role.DATA, "Kedja.Code": Role.CODE}
"""The app roles of the registration in Entra ID that stand behind Easy Auth."""


class Method(enum.StrEnum):
    """A way to know a caller: a word of the setting KEDJA_AUTH."""

    EASY_AUTH = "easy-auth"
    KEYS = "keys"
    LOCAL = "local"


@frozen(kw_only=True)
class Caller:
    """Someone who calls. `experiments` are patterns (fnmatch) of the experiments' names that they see."""

    name: str
    role: Role | None
    experiments: tuple[str, ...] = EVERY

    @property
    def may_code(self) -> bool:
        return self.role is Role.CODE

    @property
    def sees_everything(self) -> bool:
        return "*" in self.experiments

    @property
    def only_experiment(self) -> str | None:
        """The one experiment that the caller sees, if there is no more than one."""
        (one, *others) = self.experiments or ("*",)
        return one if not others and _NAME.fullmatch(one) else None

    def sees(self, experiment: str) -> bool:
        """Return whether the experiment of this name, as receipts and jobs have it, is the caller's business."""
        return any(fnmatch.fnmatchcase(experiment, pattern) for pattern in self.experiments)

    def check(self, role: Role, *, everything: bool = False) -> None:
        """Raise RoleMissing where the caller has not the role, or sees only some experiments of the `everything`."""
        if self.role is None:
            raise RoleMissing(
                f"{self.name} has no role in Kedja: assign the app role {' or '.join(APP_ROLES)} in Entra ID."
            )
        if role is Role.CODE and not self.may_code:
            raise RoleMissing(f"This takes the role `code`; {self.name} has the role `{self.role}`.")
        if everything and not self.sees_everything:
            raise RoleMissing(
                f"This concerns every experiment; {self.name} is limited to {', '.join(self.experiments)}."
            )


@frozen
class Callers:
    """How callers are known."""

    methods: frozenset[Method]

    @classmethod
    def read(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Read the ways from the settings.

        Raises:
            InvalidSettings: where they would leave the door open.
        """
        words = [word.strip() for word in (settings.auth or "").split(",") if word.strip()]
        if unknown := sorted(set(words) - set(Method)):
            raise InvalidSettings(
                f"KEDJA_AUTH is {settings.auth!r}: {', '.join(unknown)} is none of {', '.join(Method)}."
            )
        methods = frozenset(map(Method, words))
        in_azure = any(environ.get(name) for name in _IN_AZURE)
        if Method.LOCAL in methods and (in_azure or not _is_on_this_machine(environ)):
            raise InvalidSettings(
                "KEDJA_AUTH is local, which lets everyone in: that is for storage on this machine alone "
                f"(setting {STORAGE}). Set it to easy-auth, keys, or both."
            )
        if in_azure and not methods:
            raise InvalidSettings("KEDJA_AUTH is not set: nobody could call. Set it to easy-auth, keys, or both.")
        if Method.EASY_AUTH in methods and (not in_azure or environ.get("WEBSITE_AUTH_ENABLED", "").lower() != "true"):
            raise InvalidSettings(
                "KEDJA_AUTH names easy-auth, but no App Service authentication stands before this app: anyone could "
                "write its headers. Turn it on, or set KEDJA_AUTH to keys."
            )
        return cls(methods)

    @property
    def is_local(self) -> bool:
        return Method.LOCAL in self.methods

    def identify(
        self,
        headers: Mapping[str, str],
        key: str | None,
        find_key: Callable[[str], Caller | None],
        *,
        path: str = "",
    ) -> Caller:
        """Return who sent these headers, and this key if any.

        `headers` has names in lower case; `path` is what they asked for. A key that is no good is refused even where
        something else would do.

        Raises:
            Unauthenticated: where nobody can be told, with what to do.
        """
        if not self.methods:
            raise Unauthenticated("KEDJA_AUTH is not set, so nobody is let in: set it to easy-auth, keys or local.")
        if key and Method.KEYS in self.methods:
            caller = find_key(key)
            if caller is None:
                raise Unauthenticated("The key is unknown, expired or revoked.")
            return caller
        # From here on a browser says who calls, without being asked: a page of another site could have it call.
        if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
            raise Unauthenticated("A page of another site sent this: send a key of Kedja's in the header X-Kedja-Key.")
        ways = self.methods - {Method.EASY_AUTH} if path in OPEN_PATHS else self.methods
        if Method.EASY_AUTH in ways and "x-ms-client-principal-id" in headers:
            return _principal(headers)
        if Method.LOCAL in self.methods:
            host = headers.get("host", "localhost")
            if not _is_loopback(f"//{host}"):  # a name of somebody else's that leads to this machine
                raise Unauthenticated(f"{host} is not this machine's name: call it localhost or 127.0.0.1.")
            return Caller(name="local", role=Role.CODE)
        if not ways:
            raise Unauthenticated(
                f"{path} is open to everyone, so a sign-in is not read there: ask GET /api/checks for the same."
            )
        words = {
            Method.EASY_AUTH: "sign in through the app's authentication (Authorization: Bearer <token of Entra ID>)",
            Method.KEYS: "send a key of Kedja's in the header X-Kedja-Key",
        }
        raise Unauthenticated(f"Who calls? To be known, {', or '.join(words[method] for method in sorted(ways))}.")


def _principal(headers: Mapping[str, str]) -> Caller:
    """Read what Easy Auth says.

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

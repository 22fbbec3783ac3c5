"""Links to blobs: shared access signatures, made with the app's identity in Azure, and with a key on one machine.

https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from azure.storage.blob import BlobSasPermissions, BlobServiceClient, UserDelegationKey, generate_blob_sas

from function_app.errors import InvalidSettings
from function_app.ports.storage import Permission

KEY_LIFETIME = timedelta(hours=6)
"""Lifetime of a user delegation key. If a key expires before a link would, a new one is requested."""
CLOCKS_DIFFER = timedelta(minutes=15)
"""How far in the past a key's validity begins, as Azure recommends."""


class BlobSigner:
    """Signs links to the blobs of one account. Safe to use from several threads."""

    def __init__(self, client: BlobServiceClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._now = now
        self._lock = threading.Lock()
        self._key: UserDelegationKey | None = None
        self._key_until = datetime.min.replace(tzinfo=UTC)

    def sign(self, container: str, name: str, permission: Permission, expires: datetime) -> str:
        """Return the signature as a URL's query.

        Raises:
            InvalidSettings: Storage is connected with something that cannot sign, such as a signature.
        """
        account_key = getattr(self._client.credential, "account_key", None)
        delegation_key = None if account_key else self._delegation_key(expires)
        return generate_blob_sas(
            str(self._client.account_name),
            container,
            name,
            account_key=account_key,
            user_delegation_key=delegation_key,
            permission=BlobSasPermissions.from_string(permission.value),
            expiry=expires,
            protocol="https" if self._client.url.startswith("https:") else "https,http",
        )

    def _delegation_key(self, expires: datetime) -> UserDelegationKey:
        if not hasattr(self._client.credential, "get_token"):
            raise InvalidSettings("Storage is connected with neither a key nor an identity, so links cannot be signed.")
        with self._lock:
            if self._key is None or self._key_until < expires:
                now = self._now()
                until = now + KEY_LIFETIME
                self._key = self._client.get_user_delegation_key(now - CLOCKS_DIFFER, until)
                self._key_until = until
            return self._key

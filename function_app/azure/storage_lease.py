"""Leases on blobs, held through Azure's client library."""

import threading
import time

from azure.storage.blob import BlobLeaseClient

from function_app.azure.storage_errors import translate_errors


class HeldLease:
    """A lease on a blob that its holder keeps by calling `renew` between steps.

    Within `renew_after` seconds of the last renewal, `renew` does nothing.
    """

    def __init__(self, client: BlobLeaseClient, name: str, *, renew_after: float) -> None:
        self._client = client
        self._name = name
        self._renew_after = renew_after
        self._renewed = time.monotonic()
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """The lease id, which writes under the lease have to send."""
        return str(self._client.id)

    def renew(self) -> None:
        """Renew the lease, unless it was renewed a moment ago.

        Raises:
            PreconditionFailed: The lease was lost.
        """
        with self._lock:
            if time.monotonic() - self._renewed < self._renew_after:
                return
            with translate_errors(f"renew the lease on {self._name}"):
                self._client.renew()
            self._renewed = time.monotonic()

"""The one error family of the stand-ins."""


class LocalAzureError(Exception):
    """Base of every error that `local_azure` raises on purpose.

    The message names the thing, the value and what to do, in words a user can act on.
    """

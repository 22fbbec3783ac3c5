"""The base class of the errors of `local_azure`."""


class LocalAzureError(Exception):
    """Base class of every error that `local_azure` raises deliberately.

    The message names the thing, the value and what to do, so that a user can act on it.
    """

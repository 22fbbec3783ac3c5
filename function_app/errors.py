"""The errors of the service."""


class KedjaError(Exception):
    """Base class of every error that `function_app` raises on purpose.

    The message names the thing, the value and what the user can do.
    """


class TrainingServiceError(KedjaError):
    """The training service could not do what was asked."""


class TrainingServiceUnavailable(TrainingServiceError):
    """Throttled, timed out or down: the same call may succeed later.

    `retry_after` is in seconds, or None if the service gave no time.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JobNotFound(TrainingServiceError):
    """No job has this name."""


class JobConflict(TrainingServiceError):
    """A job with this name exists, but its content differs."""


class JobRefused(TrainingServiceError):
    """The training service will never accept this job as it is."""


class ModelRefused(TrainingServiceError):
    """The training service will never accept this model version as it is."""


class ComputeRefused(TrainingServiceError):
    """The training service will never accept this compute as it is."""


class AppNotAllowed(TrainingServiceUnavailable):
    """The app's own identity is not accepted or lacks a role; the message says which role to assign.

    A new role assignment takes effect after some minutes, so the same call may succeed later.
    """


class WorkspaceNotFound(TrainingServiceUnavailable):
    """The training service is misconfigured or was deleted; this says nothing about any job in it."""


class StorageError(KedjaError):
    """Storage could not do what was asked."""


class StorageUnavailable(StorageError):
    """Throttled, timed out or down: the same call may succeed later."""


class BlobNotFound(StorageError):
    """No blob has this name."""


class PreconditionFailed(StorageError):
    """The blob changed, exists already, or is leased by another client: read it again."""


class Unreadable(KedjaError):
    """A stored blob is not a document of the expected kind."""


class InvalidEvent(KedjaError):
    """The event is malformed."""


class Refused(KedjaError):
    """The request is not possible in the current state."""


class RoleMissing(Refused):
    """The caller is known, but lacks the required role."""


class Unauthenticated(KedjaError):
    """The caller is unknown."""


class NotFound(KedjaError):
    """Nothing has this name."""


class InvalidSettings(KedjaError):
    """A setting is missing or wrong."""

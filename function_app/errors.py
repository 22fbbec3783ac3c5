"""The one error family of the service."""


class KedjaError(Exception):
    """Base of every error that `function_app` raises on purpose.

    The message names the thing, the value and what to do, in words a user can act on.
    """


class TrainingServiceError(KedjaError):
    """The training service could not do what was asked."""


class TrainingServiceUnavailable(TrainingServiceError):
    """Throttled, timed out or down: the same call may succeed later.

    `retry_after` is in seconds, and None where the service named no time.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class JobNotFound(TrainingServiceError):
    """No job has this name."""


class JobConflict(TrainingServiceError):
    """A job of this name exists and is another one: its content differs."""


class JobRefused(TrainingServiceError):
    """The service will never accept this job as it is."""


class ModelRefused(TrainingServiceError):
    """The service will never accept this model version as it is."""


class ComputeRefused(TrainingServiceError):
    """The service will never accept this compute as it is."""


class AppNotAllowed(TrainingServiceUnavailable):
    """The app's own identity is not accepted, or lacks a role for this: the message says what to give it.

    A role that was just given counts after some minutes, so the same call may succeed later.
    """


class WorkspaceNotFound(TrainingServiceUnavailable):
    """The training service is set up wrongly or was deleted: nothing is said about any job in it."""


class StorageError(KedjaError):
    """Storage could not do what was asked."""


class StorageUnavailable(StorageError):
    """Throttled, timed out or down: the same call may succeed later."""


class BlobNotFound(StorageError):
    """No blob has this name."""


class PreconditionFailed(StorageError):
    """The blob changed, exists already, or is leased to someone else: read it again."""


class Unreadable(KedjaError):
    """What lies in a document's place is no such document."""


class InvalidEvent(KedjaError):
    """An event that cannot be understood."""


class Refused(KedjaError):
    """The state of the thing does not allow it."""


class RoleMissing(Refused):
    """The caller is known, and has not the role that this takes."""


class Unauthenticated(KedjaError):
    """Nobody knows who calls."""


class NotFound(KedjaError):
    """Nothing has this name."""


class InvalidSettings(KedjaError):
    """A setting is missing or wrong."""

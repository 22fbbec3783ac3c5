"""The errors of the service: seven bases, which say what the caller may do about an error, and the errors of the ports.

An error that derives from none of the bases is a fault of the service, of what it has stored, or of what it depends on.
Such faults have bases of their own: a blob or document that is missing inside is not the caller's `NotFound`.
"""

from typing import ClassVar


class KedjaError(Exception):
    """Base class of every error that `function_app` raises on purpose.

    The message names the thing, the value and what the user can do. `code` identifies the kind of error, whatever the
    message says; `title` describes that kind in a sentence, and `advice` says what to do about it. `wait` is the number
    of seconds after which the same request may succeed, or None if repeating it is no use.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Kedja failed."
    advice: ClassVar[str | None] = None
    wait: ClassVar[float | None] = None


class NotFound(KedjaError):
    """Nothing has this name."""

    code = "not-found"
    title = "Not found."


class Refused(KedjaError):
    """The request is not possible in the current state."""

    code = "refused"
    title = "The current state does not allow this."


class Unauthenticated(KedjaError):
    """The caller is unknown."""

    code = "unauthenticated"
    title = "The caller is unknown."


class Forbidden(KedjaError):
    """The caller is known, but may not do this."""

    code = "forbidden"
    title = "The caller may not do this."


class Conflict(KedjaError):
    """Something else has the name, or changed or is changing the same thing."""

    code = "conflict"
    title = "Something else uses or changes the same thing."


class Transient(KedjaError):
    """The same call may succeed later. `retry_after` is in seconds, or None if no time is known."""

    code = "unavailable"
    title = "Something is unavailable."
    wait: ClassVar[float | None] = 10

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Invalid(KedjaError):
    """What was given will not be accepted as it is, whenever it is sent."""

    code = "invalid-request"
    title = "The request has an invalid value."
    advice: ClassVar[str | None] = "Fix the errors in `problems` and send it again."


class RoleMissing(Forbidden):
    """The caller is known, but lacks the required role."""

    code = "role-missing"
    advice = "Ask Kedja's operator for the role."


class InvalidEvent(Invalid):
    """The event is malformed."""

    code = "invalid-event"
    title = "The event is malformed."
    advice = None


class InvalidSettings(Invalid):
    """A setting is missing or wrong."""

    code = "not-configured"
    title = "Kedja is not configured."
    advice = "See the service's log."


class Unreadable(KedjaError):
    """A stored blob is not a document of the expected kind."""


class TrainingServiceError(KedjaError):
    """The training service could not do what was asked."""

    code = "training-failed"
    title = "The training service rejected Kedja's request."


class TrainingServiceUnavailable(Transient, TrainingServiceError):
    """Throttled, timed out or down: the same call may succeed later.

    `retry_after` is in seconds, or None if the service gave no time.
    """

    code = "training-unavailable"
    title = "The training service is unavailable."
    wait: ClassVar[float | None] = 30


class JobNotFound(NotFound, TrainingServiceError):
    """No job has this name."""


class JobConflict(Conflict, TrainingServiceError):
    """A job with this name exists, but its content differs."""

    code = "job-conflict"
    title = "Another job has this name."


class JobRefused(Invalid, TrainingServiceError):
    """The training service will never accept this job as it is."""

    code = "job-refused"
    title = "The training service refuses the job."
    advice = None


class ModelRefused(TrainingServiceError, Invalid):
    """The training service will never accept this model version as it is.

    No caller chooses what is registered, so this is reported as a `TrainingServiceError`.
    """


class ComputeRefused(Invalid, TrainingServiceError):
    """The training service will never accept this compute as it is."""

    code = "compute-refused"
    title = "The training service refuses the compute."
    advice = None


class AppNotAllowed(TrainingServiceUnavailable):
    """The app's own identity is not accepted or lacks a role; the message says which role to assign.

    A new role assignment takes effect after some minutes, so the same call may succeed later.
    """

    code = "app-not-allowed"
    title = "The app may not do this."
    advice = "Ask an owner of the subscription to assign the app's identity the role in `detail`."
    wait = None


class WorkspaceNotFound(TrainingServiceUnavailable):
    """The training service is misconfigured or was deleted; this says nothing about any job in it."""


class StorageError(KedjaError):
    """Storage could not do what was asked."""

    code = "storage-failed"
    title = "Storage rejected Kedja's request."


class StorageUnavailable(Transient, StorageError):
    """Throttled, timed out or down: the same call may succeed later."""

    code = "storage-unavailable"
    title = "Storage is unavailable."


class BlobNotFound(StorageError):
    """No blob has this name. It is no `NotFound`: what is missing may be a part that the service itself relies on."""


class PreconditionFailed(StorageError):
    """The blob changed, exists already, or is leased by another client: read it again."""

"""What a release can fail with."""


class ReleaseError(Exception):
    """Something is missing or refused; the message says what to do."""


class Refusal(ReleaseError):
    """The resource manager answered with a status that is an error."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code

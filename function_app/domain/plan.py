"""A plan: what a drop is ready for, or what stands against it."""

from attrs import frozen

from function_app.domain.drop import Drop


@frozen(kw_only=True)
class Waiting:
    """Something is missing that may still come."""

    drop: Drop
    what: str
    what_to_do: str


@frozen(kw_only=True)
class Rejected:
    """It can never work as it is."""

    drop: Drop
    reason: str
    what_to_do: str


@frozen(kw_only=True)
class Ready:
    """Everything is there. `entry_script` is None for the built-in trainer and for a command of the user's own."""

    drop: Drop
    entry_script: str | None


Plan = Waiting | Rejected | Ready

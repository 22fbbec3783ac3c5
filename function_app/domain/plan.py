"""A plan: whether a drop is ready for a job, and if not, why."""

from attrs import frozen

from function_app.domain.drop import Drop
from function_app.domain.receipt import WaitingFor


@frozen(kw_only=True)
class WaitingPlan:
    """Something is missing that may still arrive: `what` says it in words. `digest` is that of code to approve."""

    drop: Drop
    what: str
    what_to_do: str
    waiting_for: WaitingFor = WaitingFor.FILES
    digest: str | None = None


@frozen(kw_only=True)
class RejectedPlan:
    """The drop can never work as it is."""

    drop: Drop
    reason: str
    what_to_do: str


@frozen(kw_only=True)
class ReadyPlan:
    """Everything is there. `entry_script` is None for the built-in trainer and for the user's own command."""

    drop: Drop
    entry_script: str | None


Plan = WaitingPlan | RejectedPlan | ReadyPlan

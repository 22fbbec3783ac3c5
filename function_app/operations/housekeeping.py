"""Housekeeping: what is to go, goes. It has a timer of its own, so that it keeps nothing else waiting."""

from datetime import timedelta

from attrs import frozen

from function_app.operations.experiments import Experiments
from function_app.operations.retention import Retention
from function_app.operations.rounds import apart
from function_app.store.receipts import Clock
from function_app.timing import Timing


@frozen(kw_only=True)
class Housekeeping:
    """Goes on with the deletions that people asked for, and lets go of what has been kept for long enough."""

    experiments: Experiments
    retention: Retention
    timing: Timing
    clock: Clock

    def run(self) -> None:
        """Do one round. What fails with one thing, in whatever way, does not keep the others waiting."""
        until = self.clock() + timedelta(seconds=self.timing.reconcile_round)
        with apart("The deletions could not be looked at"):
            self.experiments.carry_on(until)
        with apart("What was kept for long enough could not be looked at"):
            self.retention.run(until)

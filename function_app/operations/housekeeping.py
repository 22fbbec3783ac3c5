"""Housekeeping: deletions and retention. A separate timer runs it, so that it delays nothing else."""

from attrs import frozen

from function_app.operations.experiments import Experiments
from function_app.operations.retention import Retention
from function_app.operations.rounds import isolate_errors
from function_app.ports.clock import Clock, time_after
from function_app.timing import Timing


@frozen(kw_only=True)
class Housekeeping:
    """Continues the deletions that callers requested, and deletes what has expired."""

    experiments: Experiments
    retention: Retention
    timing: Timing
    clock: Clock

    def run(self) -> None:
        """Do one round. An error in one part does not stop the other."""
        until = time_after(self.clock, self.timing.reconcile_round)
        with isolate_errors("The deletions could not continue"):
            self.experiments.reconcile(until)
        with isolate_errors("Expired drops could not be deleted"):
            self.retention.run(until)

"""Jobs that get no node: the receipt says so, once, and the job keeps waiting."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain.receipt import Receipt, Status
from function_app.ports.clock import Clock
from function_app.ports.training_service import Compute, TrainingService
from function_app.store.receipts import Receipts

_WITHOUT_NODE = (Status.SUBMITTED, Status.STARTING)


@frozen(kw_only=True)
class NodeWaitNotifier:
    """Notes on receipts that their jobs have no node. `deadline` is in seconds; 0 turns the notes off."""

    clock: Clock
    receipts: Receipts
    training: TrainingService
    deadline: float

    def notify(self, receipt: Receipt) -> Receipt:
        """Note on the receipt if its job has waited too long for a node. The note is removed when the job starts.

        Raises:
            TrainingServiceUnavailable: The service did not answer; the next round asks again.
        """
        since = waiting_since(receipt)
        now = self.clock()
        if since is None or not self.deadline or now - since < timedelta(seconds=self.deadline):
            return receipt
        reason, what_to_do = describe(receipt, now - since, self.training.computes())

        def edit(current: Receipt) -> Receipt:
            if current.job != receipt.job or waiting_since(current) is None:
                return current
            return current.with_status(current.status, now, reason, what_to_do).with_attempt(without_node=now)

        return self.receipts.change(receipt, edit)


def waiting_since(receipt: Receipt) -> datetime | None:
    """Return since when the job has waited for a node; None if it does not wait, or the receipt says so already."""
    attempt = receipt.attempt
    if receipt.status not in _WITHOUT_NODE or attempt is None or attempt.without_node is not None:
        return None
    since = receipt.history[-1].at
    for change in reversed(receipt.history):
        if change.status not in _WITHOUT_NODE:
            break
        since = change.at
    return since


def describe(receipt: Receipt, waited: timedelta, computes: Sequence[Compute]) -> tuple[str, str]:
    """Return the reason and what to do for a receipt whose job has waited this long for a node."""
    name = str(receipt.spec.get("compute") or "").removeprefix("azureml:")
    had = f"The job has had no node for {int(waited.total_seconds() // 60)} minutes"
    compute = next((one for one in computes if one.name == name), None)
    if compute is None:
        return (
            f"{had}: the compute {name!r} no longer exists.",
            "Create it again, or cancel the job and set another `compute` in job.yaml.",
        )
    error = f" It reports: {compute.error}" if compute.error else ""
    nodes = f"{compute.nodes} of at most {compute.max_nodes} nodes are running"
    what_to_do = (
        "The job keeps waiting. Check whether other jobs use the nodes, whether the compute's maximum is above 0, and "
        "whether the quota for its VM size is used up. Or cancel the job."
    )
    return f"{had}: the compute {name} is {compute.state}, and {nodes}.{error}", what_to_do

"""A job that gets no node: its receipt says so, once, and the job goes on waiting."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from function_app.domain.receipt import Receipt, Status
from function_app.ports.training_service import Compute, TrainingService
from function_app.store.receipts import Receipts

_WITHOUT_NODE = (Status.SUBMITTED, Status.STARTING)


@frozen(kw_only=True)
class MissingNodes:
    """Tells receipts of nodes that do not come. `deadline` is in seconds; with 0 none is told."""

    receipts: Receipts
    training: TrainingService
    deadline: float

    def note(self, receipt: Receipt) -> Receipt:
        """Tell the receipt where its job has waited too long; it goes away when the job starts.

        Raises:
            TrainingServiceUnavailable: the next round asks again.
        """
        since = waiting_since(receipt)
        now = self.receipts.clock()
        if since is None or not self.deadline or now - since < timedelta(seconds=self.deadline):
            return receipt
        reason, what_to_do = described(receipt, now - since, self.training.computes())

        def edit(current: Receipt) -> Receipt:
            if current.job != receipt.job or waiting_since(current) is None:
                return current
            return current.moved(current.status, now, reason, what_to_do).with_attempt(without_node=now)

        return self.receipts.change(receipt, edit)


def waiting_since(receipt: Receipt) -> datetime | None:
    """Return since when the receipt's job waits for a node; None where it does not, or where the receipt says so."""
    attempt = receipt.attempt
    if receipt.status not in _WITHOUT_NODE or attempt is None or attempt.without_node is not None:
        return None
    since = receipt.history[-1].at
    for change in reversed(receipt.history):
        if change.status not in _WITHOUT_NODE:
            break
        since = change.at
    return since


def described(receipt: Receipt, waited: timedelta, computes: Sequence[Compute]) -> tuple[str, str]:
    """Return reason and what to do for a receipt whose job has waited so long for a node."""
    name = str(receipt.spec.get("compute") or "").removeprefix("azureml:")
    had = f"The job has had no node for {int(waited.total_seconds() // 60)} minutes"
    compute = next((one for one in computes if one.name == name), None)
    if compute is None:
        return (
            f"{had}: there is no compute {name!r} any more.",
            "Create it again, or cancel the job and name another one in job.yaml: compute.",
        )
    error = f" It says: {compute.error}" if compute.error else ""
    nodes = f"{compute.nodes} of at most {compute.max_nodes} nodes run"
    what_to_do = (
        "It goes on waiting. See whether other jobs have the nodes, whether the compute may have one at all, and what "
        "quota there is for its size; or cancel the job."
    )
    return f"{had}: the compute {name} is {compute.state}, and {nodes}.{error}", what_to_do

"""The input of one registration call."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from function_app.domain.attempt import Attempt
from function_app.domain.receipt import Receipt
from function_app.jobspec.kedja_block import RegisterOptions
from function_app.models.job_result import JobResult, truncate_metrics
from function_app.models.ownership import Claim
from function_app.ports.storage import Lease


@frozen(kw_only=True)
class RegistrationContext:
    """The receipt and its attempt, the job's result, and the options from job.yaml."""

    receipt: Receipt
    attempt: Attempt
    result: JobResult
    options: RegisterOptions
    path: str
    lease: Lease
    claim: Claim
    notes: tuple[str, ...] = ()
    """What the receipt says about the job, and which file is the model."""

    @property
    def model(self) -> str:
        """The name of the model."""
        return self.claim.model

    @property
    def measured(self) -> Mapping[str, Any]:
        """The metrics that the receipt and the event carry."""
        return receipt_metrics(self.options, self.result)


def receipt_metrics(options: RegisterOptions, result: JobResult) -> Mapping[str, Any]:
    """Return the job's metrics that a receipt and an event carry: the gate's metric first."""
    first = options.when.metric if options.when else None
    return truncate_metrics(result.metrics, first, total=result.metrics_total)

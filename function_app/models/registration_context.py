"""What a call of registration works on."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from function_app.domain.attempt import Attempt
from function_app.domain.receipt import Receipt
from function_app.jobspec.kedja_block import RegisterOptions
from function_app.models.job_result import JobResult, carried
from function_app.models.ownership import Claim
from function_app.ports.storage import Lease


@frozen(kw_only=True)
class Work:
    """The receipt and its attempt, what the job left, and what was asked for."""

    receipt: Receipt
    attempt: Attempt
    result: JobResult
    options: RegisterOptions
    path: str
    lease: Lease
    claim: Claim

    @property
    def model(self) -> str:
        return self.claim.model

    @property
    def measured(self) -> Mapping[str, Any]:
        return measured_of(self.options, self.result)


def measured_of(options: RegisterOptions, result: JobResult) -> Mapping[str, Any]:
    """Return what the job measured, as far as a receipt and an event carry it: the gate's metric first."""
    first = options.when.metric if options.when else None
    return carried(result.metrics, first, total=result.metrics_total)

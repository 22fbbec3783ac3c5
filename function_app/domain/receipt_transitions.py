"""Transitions of a receipt: how drops, retries and plans change it."""

from datetime import datetime

from function_app.domain import naming
from function_app.domain.attempt import REMEMBERED, Attempt, AttemptOptions
from function_app.domain.cloud_events import EventType
from function_app.domain.drop import Drop
from function_app.domain.plan import RejectedPlan, WaitingPlan
from function_app.domain.receipt import FINAL, REPEATS_LISTED, RETRIED_BY_DROP, Receipt, RepeatedDrop, Status


def drop_order(now: datetime) -> int:
    """Return a drop's sequence among others of its experiment: the storage's clock in seconds."""
    return int(now.timestamp())


def next_attempt_reason(receipt: Receipt, newest: datetime, *, force: str | None, at: datetime) -> str | None:
    """Return why to claim the next attempt for content whose newest file is of the time `newest`; None if not.

    `force` is the id of a request that wants an attempt in any case, `at` the present time.
    """
    if force and receipt.status in FINAL and not came_of(receipt, force, at):
        return "forced"
    if receipt.status is Status.WAITING or (receipt.status is Status.REJECTED and not receipt.attempts):
        return "complete now"
    if receipt.status in RETRIED_BY_DROP and newest > receipt.newest_upload:
        return f"dropped again after {receipt.status}"
    return None


def came_of(receipt: Receipt, request: str | None, now: datetime) -> bool:
    """Return whether the same request has claimed an attempt already, within the lifetime of its idempotency key."""
    return request is not None and any(
        attempt.request == request and now - attempt.claimed < REMEMBERED for attempt in receipt.attempts
    )


def claim_attempt(
    receipt: Receipt, why: str, drop: Drop, now: datetime, options: AttemptOptions, *, request: str | None = None
) -> Receipt:
    """Return the receipt with its next attempt, for a drop whose listing and newest file count from now on."""
    order = drop_order(drop.now)
    claimed = with_retry(receipt, why, order, now, options, request=request)
    return claimed.replace(listed=order, newest_upload=drop.newest or receipt.newest_upload)


def with_retry(
    receipt: Receipt, why: str, order: int, now: datetime, options: AttemptOptions, *, request: str | None = None
) -> Receipt:
    """Return the receipt with its next attempt, at this `order` among drops. `request` is the id of the request."""
    following = _with_next(receipt, why, order, now, options).replace(
        preemptions=0, model=None, forgotten=(), superseded_by=None, followed_by=None
    )
    return following.with_attempt(request=request)


def with_resumed_attempt(receipt: Receipt, why: str, now: datetime) -> Receipt:
    """Return the receipt with an attempt that resumes a killed one, with the same order among drops."""
    options = receipt.attempt.options if receipt.attempt else None
    return _with_next(receipt, why, receipt.sequence, now, options).replace(preemptions=receipt.preemptions + 1)


def _with_next(receipt: Receipt, why: str, order: int, now: datetime, options: AttemptOptions | None) -> Receipt:
    number = receipt.attempts_before + len(receipt.attempts) + 1
    attempt = Attempt(
        number=number,
        job=naming.job_name(receipt.ref, number),
        why=why,
        claimed=now,
        sequence=order,
        options=options,
    )
    moved = receipt.with_status(Status.SUBMITTING, now, None if number == 1 else why)
    return moved.replace(attempts=(*receipt.attempts, attempt), sequence=order, notes=())


def with_plan(receipt: Receipt, plan: WaitingPlan | RejectedPlan, now: datetime) -> Receipt:
    """Return the receipt with the plan's result: what it waits for, or why it is rejected."""
    if receipt.status is Status.SUPERSEDED:  # it was dropped again, so it is the newest
        receipt = receipt.replace(superseded_by=None, followed_by=None)
    if isinstance(plan, WaitingPlan):
        return receipt.with_status(Status.WAITING, now, plan.what, plan.what_to_do, plan.waiting_for)
    if receipt.status is Status.REJECTED and receipt.reason == plan.reason:
        return receipt
    rejected = receipt.with_status(Status.REJECTED, now, plan.reason, plan.what_to_do)
    return rejected.with_event(EventType.DROP_REJECTED, now, what_to_do=plan.what_to_do)


def with_repeat(receipt: Receipt, trigger: str, drop: Drop, now: datetime, *, refused: str | None = None) -> Receipt:
    """Return the receipt with a note that the same content was dropped again, and what its state is.

    `refused` is why it is not submitted again, although it otherwise would be.
    """
    newest = drop.newest or drop.now
    if newest <= receipt.newest_upload:
        return with_listing(receipt, drop)  # nobody dropped anything: an event came twice
    done = f"job {receipt.job} is {receipt.status}" if receipt.job else f"it is {receipt.status}"
    if receipt.model:
        done = f"job {receipt.job} trained version {receipt.model.version} of model {receipt.model.model}"
    if refused:
        done = f"{done}, and it will not be submitted again: {refused.removesuffix('.')}"
    repeat = RepeatedDrop(at=now, trigger=trigger, outcome=f"The same content was dropped again; {done}.")
    return with_listing(receipt.replace(repeats=(*receipt.repeats, repeat)[-REPEATS_LISTED:]), drop)


def with_listing(receipt: Receipt, drop: Drop) -> Receipt:
    """Return the receipt updated to the present listing, if files were written since the last."""
    newest, listed = drop.newest or drop.now, drop_order(drop.now)
    if newest > receipt.newest_upload:
        return receipt.replace(newest_upload=newest, sequence=listed, listed=listed)
    if drop_order(newest) >= receipt.listed_until:
        return receipt.replace(
            listed=listed
        )  # the newest file may have been written in the same second as that listing
    return receipt

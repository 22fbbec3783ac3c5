"""Fault injection: duplicate, late, reordered and lost events, as Event Grid's contract allows them."""

import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class LossRule(_Model):
    """Which events are lost: those of these types (all types if empty), each with this probability."""

    event_types: tuple[str, ...] = ()
    probability: float = Field(default=1.0, ge=0, le=1)

    def loses(self, event_type: str, chance: random.Random) -> bool:
        """Return whether to lose this event."""
        return (not self.event_types or event_type in self.event_types) and chance.random() < self.probability


class Faults(_Model):
    """The faults of a subscription's deliveries.

    Each event is delivered `duplicate` times in total. `delay` and `reorder` are in seconds: every delivery is delayed
    by `delay` plus a random time up to `reorder`, so that events published within that window change order.
    """

    duplicate: int = Field(default=1, ge=1, le=100)
    delay: float = Field(default=0, ge=0)
    reorder: float = Field(default=0, ge=0)
    drop: LossRule | None = None


class FaultPlan(_Model):
    """The faults of all subscriptions, or of single ones, by the name `<topic>/<subscription>`.

    `seed` makes the random choices repeatable.
    """

    seed: int = 0
    all: Faults = Faults()
    subscriptions: dict[str, Faults] = {}


class FaultInjector:
    """Decides which faults each event gets."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - deliberately repeatable

    @property
    def plan(self) -> FaultPlan:
        """The active plan. Setting it resets the random numbers."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._chance.seed(plan.seed)

    def delivery_delays(self, topic: str, subscription: str, event_type: str) -> Sequence[float]:
        """Return the delay before the first attempt, in seconds, of each copy of the event; empty if it is lost."""
        faults = self._plan.subscriptions.get(f"{topic}/{subscription}", self._plan.all)
        if faults.drop and faults.drop.loses(event_type, self._chance):
            return ()
        return [faults.delay + self._chance.uniform(0, faults.reorder) for _ in range(faults.duplicate)]

"""Switches that make deliveries as bad as Event Grid's contract allows: twice, late, out of order, or not at all."""

import random
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Drop(_Model):
    """Which events are lost: those of these types (none named: of all), each with this probability."""

    event_types: tuple[str, ...] = ()
    probability: float = Field(default=1.0, ge=0, le=1)

    def takes(self, event_type: str, chance: random.Random) -> bool:
        """Say whether to lose this event."""
        return (not self.event_types or event_type in self.event_types) and chance.random() < self.probability


class Faults(_Model):
    """What goes wrong with a subscription's deliveries.

    `duplicate` is how often each event is delivered in all. `delay` and `reorder` are in seconds: every delivery waits
    for `delay` and for a random time of at most `reorder`, so that what was published within that window is shuffled.
    """

    duplicate: int = Field(default=1, ge=1, le=100)
    delay: float = Field(default=0, ge=0)
    reorder: float = Field(default=0, ge=0)
    drop: Drop | None = None


class FaultPlan(_Model):
    """The faults of all subscriptions, or of some by the name `<topic>/<subscription>`.

    `seed` makes what is random repeatable.
    """

    seed: int = 0
    all: Faults = Faults()
    subscriptions: dict[str, Faults] = {}


class FaultInjector:
    """Decides the fate of each event."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - repeatable on purpose

    @property
    def plan(self) -> FaultPlan:
        """What is in force. Setting it starts the random numbers anew."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._chance.seed(plan.seed)

    def waits(self, topic: str, subscription: str, event_type: str) -> Sequence[float]:
        """Return how long each copy of the event waits for its first delivery, in seconds; none where it is lost."""
        faults = self._plan.subscriptions.get(f"{topic}/{subscription}", self._plan.all)
        if faults.drop and faults.drop.takes(event_type, self._chance):
            return ()
        return [faults.delay + self._chance.uniform(0, faults.reorder) for _ in range(faults.duplicate)]

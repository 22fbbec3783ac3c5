"""Ports that let something else happen while a caller is about to do something, or has just done it."""

from collections.abc import Callable
from typing import Any, cast

from attrs import define

from function_app.operations.service import Kedja
from function_app.ports.storage import Blobs
from function_app.ports.training_service import TrainingService
from tests.unit.simulation import World, assembled


@define
class Meanwhile:
    """A port whose first call of `operation` (about something with `about` in its name) meets an interruption."""

    port: object
    operation: str
    action: Callable[[], object]
    about: str = ""
    after: bool = False
    done: bool = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self.port, name)
        if name != self.operation or self.done:
            return found

        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as above
            if self.done or self.about not in repr((args, options)):
                return found(*args, **options)
            self.done = True
            if not self.after:
                self.action()
                return found(*args, **options)
            result = found(*args, **options)
            self.action()
            return result

        return call


def host(
    world: World,
    *,
    blobs: Callable[[object], Meanwhile] | None = None,
    training: Callable[[object], Meanwhile] | None = None,
) -> Kedja:
    """Return another host of the service, that something meets on the way to storage or to the training service."""
    return assembled(
        world.kedja.settings,
        cast("Blobs", blobs(world.blobs)) if blobs else world.blobs,
        world.queues,
        cast("TrainingService", training(world.training)) if training else world.training,
        world.publisher,
        world.clock,
    )

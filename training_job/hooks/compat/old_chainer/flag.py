"""The module `chainer.flag` of Chainer 1: the flag `volatile` of variables, which is on, off or auto."""

from enum import Enum
from typing import Any


class Flag(Enum):
    """Whether what is computed from a variable has no graph. `Flag("on")`, `Flag("ON")` and `Flag(True)` are equal."""

    ON = "on"
    OFF = "off"
    AUTO = "auto"

    @classmethod
    def _missing_(cls, value: object) -> "Flag | None":
        if value is None or isinstance(value, bool):
            return {True: cls.ON, False: cls.OFF, None: cls.AUTO}[value]
        return cls.__members__.get(value) if isinstance(value, str) else None

    def __bool__(self) -> bool:
        """Whether it is ON.

        Raises:
            ValueError: It is AUTO.
        """
        if self is Flag.AUTO:
            raise ValueError("Flag AUTO cannot be converted to boolean")
        return self is Flag.ON

    def __eq__(self, other: object) -> bool:
        """Whether `other` is this flag, or one of its names."""
        try:
            return self is Flag(other)
        except ValueError:
            return False

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


ON, OFF, AUTO = Flag.ON, Flag.OFF, Flag.AUTO


def aggregate_flags(flags: Any) -> Flag:  # noqa: ANN401 - any iterable of what `Flag` takes
    """Return the flag of what is computed from variables with these flags: ON if one is ON, AUTO if all are AUTO."""
    found = [Flag(flag) for flag in flags]
    if ON in found:
        return ON
    return OFF if OFF in found else AUTO

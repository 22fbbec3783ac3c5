"""How much the tests generate: `KEDJA_TEST_PROFILE` is `fast`, the default, or `ci`."""

import enum
import os

VARIABLE = "KEDJA_TEST_PROFILE"
EXAMPLES = 100
"""Examples of a test that names no count, before a profile scales it."""


class Profile(enum.StrEnum):
    """The profiles of the tests, by the names of Hypothesis's profiles."""

    FAST = "fast"
    """A quarter of each count, for whoever runs the tests before a commit."""
    CI = "ci"
    """Each count as the tests name it."""

    @classmethod
    def chosen(cls) -> "Profile":
        """Return the profile that the environment names.

        Raises:
            ValueError: if there is no such profile.
        """
        name = os.environ.get(VARIABLE) or cls.FAST
        try:
            return cls(name)
        except ValueError as error:
            raise ValueError(f"{VARIABLE} is {name!r}; it can be {' or '.join(cls)}.") from error

    def scale(self, count: int) -> int:
        """Return how many of `count` generated examples this profile tries: one at least."""
        return count if self is Profile.CI else max(1, count // 4)


def examples(count: int) -> int:
    """Return how many examples a test tries that tries `count` in the profile `ci`."""
    return Profile.chosen().scale(count)

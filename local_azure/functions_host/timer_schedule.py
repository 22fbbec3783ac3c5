"""NCRONTAB expressions: when a timer is due next.

Format: `{second} {minute} {hour} {day} {month} {day of week}`, or the same without the seconds, as the Functions host
accepts it (NCrontab). A field is a list of `*`, `n`, `a-b`, each with an optional `/step`; months and days of the week
may be English names, by their first three letters; 0 is Sunday. Unlike in Unix cron, day and day of week must both
match. Times are UTC, which is Azure's default.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from attrs import frozen
from croniter import CroniterBadDateError, croniter

from local_azure.errors import LocalAzureError

_MONTHS: Final = {
    name: number
    for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)  # noqa: SIM905 - reads better than a list of twelve
}
_WEEKDAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}


class InvalidSchedule(LocalAzureError):
    """The schedule is not an NCRONTAB expression, or matches no date."""


@frozen(kw_only=True)
class _Field:
    """A field of the expression and its range."""

    label: str
    lowest: int
    highest: int
    names: Mapping[str, int] = {}

    def values(self, text: str) -> frozenset[int]:
        """Return the numbers that a field's text selects.

        Raises:
            InvalidSchedule: the text is invalid.
        """
        return frozenset(number for part in text.split(",") for number in self._part(part))

    def _part(self, part: str) -> range:
        span, slash, step_text = part.partition("/")
        step = self._number(step_text, lowest=1) if slash else 1
        if span == "*":
            return range(self.lowest, self.highest + 1, step)
        first_text, dash, last_text = span.partition("-")
        first = self._number(first_text)
        # `n/step` runs from n to the highest value.
        last = self._number(last_text) if dash else (self.highest if slash else first)
        if last < first:
            raise InvalidSchedule(f"{self.label} {part!r} runs backwards: write the lower number first.")
        return range(first, last + 1, step)

    def _number(self, text: str, lowest: int | None = None) -> int:
        at_least = self.lowest if lowest is None else lowest
        named = self.names.get(text[:3].lower()) if text.isalpha() else None
        number = named if named is not None else int(text) if text.isascii() and text.isdigit() else None
        if number is None or not at_least <= number <= self.highest:
            raise InvalidSchedule(f"{self.label} {text!r} is not a number from {at_least} to {self.highest}.")
        return number


_FIELDS: Final = (
    _Field(label="second", lowest=0, highest=59),
    _Field(label="minute", lowest=0, highest=59),
    _Field(label="hour", lowest=0, highest=23),
    _Field(label="day", lowest=1, highest=31),
    _Field(label="month", lowest=1, highest=12, names=_MONTHS),
    _Field(label="day of week", lowest=0, highest=6, names=_WEEKDAYS),
)


@frozen(kw_only=True)
class TimerSchedule:
    """A parsed expression; created by `TimerSchedule.parse`."""

    expression: str
    selected: tuple[frozenset[int], ...]
    """The numbers that each field selects, from the seconds to the days of the week."""

    @classmethod
    def parse(cls, expression: str) -> "TimerSchedule":
        """Parse an expression of five or six fields.

        Raises:
            InvalidSchedule: the expression is invalid; the message names the field.
        """
        texts = expression.split()
        if len(texts) == len(_FIELDS) - 1:
            texts.insert(0, "0")
        if len(texts) != len(_FIELDS):
            raise InvalidSchedule(
                f"The schedule {expression!r} has {len(texts)} fields: give six, "
                "{second} {minute} {hour} {day} {month} {day of week}."
            )
        try:
            selected = tuple(field.values(text) for field, text in zip(_FIELDS, texts, strict=True))
        except InvalidSchedule as error:
            raise InvalidSchedule(f"The schedule {expression!r} is not an NCRONTAB expression: {error}") from None
        return cls(expression=expression, selected=selected)

    @property
    def is_below_a_minute(self) -> bool:
        """Whether it is due more than once in every minute; the host stores no status for such a timer."""
        full = all(
            len(numbers) == field.highest - field.lowest + 1
            for numbers, field in zip(self.selected[1:], _FIELDS[1:], strict=True)
        )
        return full and len(self.selected[0]) > 1

    def next_after(self, time: datetime) -> datetime:
        """Return the first matching time after `time` (aware), in UTC.

        Raises:
            InvalidSchedule: no date matches, such as 30 February.
        """
        # croniter reads lists of numbers as NCRONTAB does, but not all ranges and names: `4-4` is every day to it.
        lists = " ".join(",".join(map(str, sorted(numbers))) for numbers in self.selected)
        start = time.astimezone(UTC).replace(microsecond=0)
        times = croniter(lists, start, day_or=False, second_at_beginning=True)
        try:
            return times.get_next(datetime)
        except CroniterBadDateError:
            raise InvalidSchedule(
                f"The schedule {self.expression!r} is never due: no date has that day and month."
            ) from None

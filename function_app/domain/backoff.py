"""How long to wait before something is tried again: longer each time, and not everybody at the same moment."""

import hashlib

_DOUBLINGS = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


def fraction(of: str) -> float:
    """Return a number from 0 to 1 that a name has for ever: chance for a crowd, and repeatable for each one of it."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4]) / 2**32


def backoff(
    tries: int,
    of: str,
    *,
    first: float,
    longest: float,
    retry_after: float | None = None,
) -> float:
    """Return after how many seconds to try again what has this name and was tried so many times before.

    The longest time doubles with each try, from `first` to `longest`; the delay lies in its upper half. Where a service
    has named a time, it is not before that, and up to half of the delay after it.
    """
    limit = min(first * 2.0 ** min(max(tries, 0), _DOUBLINGS), longest)
    spread = fraction(f"{of}/{tries}") * limit / 2
    return limit / 2 + spread if retry_after is None else retry_after + spread


def lost_race(tries: int, of: str) -> float:
    """Return after how many seconds to write a blob again that somebody else was faster with so many times before."""
    return backoff(tries, of, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)

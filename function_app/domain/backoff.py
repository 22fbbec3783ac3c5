"""How long to wait before a retry: longer each time, and not the same for every caller."""

import hashlib

_DOUBLINGS = 30
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


def stable_jitter(of: str) -> float:
    """Return a number from 0 to 1 that is always the same for a name, and evenly spread over many names."""
    return int.from_bytes(hashlib.sha256(of.encode()).digest()[:4]) / 2**32


def backoff(
    tries: int,
    of: str,
    *,
    first: float,
    longest: float,
    retry_after: float | None = None,
) -> float:
    """Return the delay in seconds before the next try of the operation named `of`, after `tries` earlier ones.

    The upper limit doubles with each try, from `first` to `longest`; the delay lies in the upper half of it. If the
    service has named a time (`retry_after`), the delay is that time and up to half of the limit.
    """
    limit = min(first * 2.0 ** min(max(tries, 0), _DOUBLINGS), longest)
    spread = stable_jitter(f"{of}/{tries}") * limit / 2
    return limit / 2 + spread if retry_after is None else retry_after + spread


def contention_delay(tries: int, of: str) -> float:
    """Return the delay in seconds before the next write of a blob, after `tries` writes that others got ahead of."""
    return backoff(tries, of, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)

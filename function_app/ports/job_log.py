"""Pages of a job's log."""

from function_app.ports.training_service import LogPage


def start(offset: int, size: int) -> int:
    """Return the first byte to read from a log of `size` bytes; a negative offset counts from its end."""
    return max(0, size + offset) if offset < 0 else offset


def page(data: bytes, *, offset: int, limit: int, size: int, ended: bool) -> LogPage:
    r"""Return a page of whole lines from the bytes that were read at `offset`.

    `data` is up to `limit` bytes, `size` the current size of the whole log, `ended` whether it will not grow. A last
    line without `\n` is left to the next page, unless it is longer than `limit` or the log has ended. No UTF-8
    character is split; bytes that are not UTF-8 become U+FFFD.
    """
    at_end = ended and offset + len(data) >= size
    whole = data if at_end else data[: data.rfind(b"\n") + 1]
    if not whole and len(data) >= limit:
        whole = _whole_characters(data)
    next_offset = offset + len(whole)
    return LogPage(
        text=whole.decode("utf-8", "replace"), next_offset=next_offset, complete=ended and next_offset >= size
    )


def _whole_characters(data: bytes) -> bytes:
    """Return the bytes without an incomplete UTF-8 character at the end."""
    for back in range(1, min(4, len(data))):
        first = data[-back]
        if first >= 0xC0:  # noqa: PLR2004  the first byte of a multi-byte character; 0x80 to 0xBF follow it
            length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4  # noqa: PLR2004  as above
            return data if back >= length else data[:-back]
        if first < 0x80:  # noqa: PLR2004  a single-byte character
            return data
    return data

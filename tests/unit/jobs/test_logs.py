from hypothesis import given
from hypothesis import strategies as st

from function_app.ports import job_log


def read_all(log: bytes, limit: int) -> list[str]:
    """Read an ended log page after page."""
    pages, offset = [], 0
    while True:
        data = log[offset : offset + limit]
        page = job_log.page(data, offset=offset, limit=limit, size=len(log), ended=True)
        pages.append(page.text)
        assert page.complete or page.next_offset > offset
        offset = page.next_offset
        if page.complete:
            return pages


@given(text=st.text(alphabet="aä€🎉\n", max_size=60), limit=st.integers(min_value=4, max_value=20))
def test_pages_put_together_are_the_log(text: str, limit: int) -> None:
    assert "".join(read_all(text.encode(), limit)) == text


@given(text=st.text(alphabet="aä€🎉\n", max_size=60), limit=st.integers(min_value=4, max_value=20))
def test_no_page_is_longer_than_the_limit(text: str, limit: int) -> None:
    assert all(len(page.encode()) <= limit for page in read_all(text.encode(), limit))


def test_a_line_that_still_grows_waits() -> None:
    page = job_log.page(b"one\ntw", offset=10, limit=100, size=16, ended=False)
    assert (page.text, page.next_offset, page.complete) == ("one\n", 14, False)


def test_a_line_longer_than_the_limit_comes_in_pieces_while_it_grows() -> None:
    page = job_log.page("åäö".encode()[:5], offset=0, limit=5, size=6, ended=False)
    assert (page.text, page.next_offset, page.complete) == ("åä", 4, False)


def test_bytes_that_are_no_text_are_replaced() -> None:
    page = job_log.page(b"\xff\x80\x80\x80\x80", offset=0, limit=5, size=9, ended=False)
    assert page.text == "\ufffd" * 5
    assert page.next_offset == 5


def test_an_ended_log_is_complete_at_its_end_alone() -> None:
    assert not job_log.page(b"one\n", offset=0, limit=4, size=8, ended=True).complete
    assert job_log.page(b"two\n", offset=4, limit=4, size=8, ended=True).complete

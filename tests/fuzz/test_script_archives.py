"""Archives among the scripts, which the service itself reads: plain files come out, or a refusal."""

import pytest
from hypothesis import strategies as st

from function_app.domain import naming
from function_app.drops import archive_reader
from function_app.drops.archive_reader import ArchiveRefused
from function_app.drops.path_rules import path_problem
from tests.fuzz.archive_inputs import archive_bytes
from tests.fuzz.budget import fuzz, outcome

pytestmark = pytest.mark.filterwarnings("ignore")  # zipfile warns of the names that are in these archives twice


def test_script_archives() -> None:
    def check(drop: tuple[str, bytes]) -> None:
        suffix, data = drop
        found = outcome(ArchiveRefused, lambda: list(archive_reader.files(f"code{suffix}", data)))
        if isinstance(found, ArchiveRefused):
            assert len(str(found)) < 2000
            assert "\n" not in str(found)
            return
        for path, content in found:
            assert path_problem(path) is None
            assert not naming.is_ignored(path)
            assert len(content) <= archive_reader.LARGEST
        assert sum(len(content) for _, content in found) <= archive_reader.MOST_BYTES

    fuzz("script archives", st.tuples(st.sampled_from(archive_reader.SUFFIXES), archive_bytes), check)

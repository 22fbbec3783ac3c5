import pytest

from tests.profiles import VARIABLE, Profile, examples


def test_ci_tries_as_many_as_a_test_names() -> None:
    assert [Profile.CI.scale(count) for count in (1, 100, 300)] == [1, 100, 300]


def test_fast_tries_a_quarter_and_never_none() -> None:
    assert [Profile.FAST.scale(count) for count in (1, 100, 300)] == [1, 25, 75]


@pytest.mark.parametrize(("name", "count"), [("ci", 100), ("fast", 25), ("", 25)])
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, name: str, count: int) -> None:
    monkeypatch.setenv(VARIABLE, name)
    assert examples(100) == count


def test_what_is_no_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "slow")
    with pytest.raises(ValueError, match="KEDJA_TEST_PROFILE is 'slow'; it can be fast or ci"):
        examples(100)

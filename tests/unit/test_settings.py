import pytest

from function_app.errors import InvalidSettings
from function_app.settings import Settings


def test_what_is_not_set_has_its_default() -> None:
    assert Settings.read({}) == Settings()


NO_TIMES = ["soon", "-1", "inf", "-inf", "nan", "1e300"]


@pytest.mark.parametrize("value", [*NO_TIMES, "", "0"])
@pytest.mark.parametrize("name", ["KEDJA_QUIET_PERIOD", "KEDJA_MAX_WAIT"])
def test_a_time_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name} is '{value}': it is a number of seconds, .*, more than 0"):
        Settings.read({name: value})


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_deadline_that_is_none_is_named(value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"KEDJA_START_DEADLINE is '{value}': .*; 0 is never"):
        Settings.read({"KEDJA_START_DEADLINE": value})


@pytest.mark.parametrize("value", NO_TIMES)
@pytest.mark.parametrize("name", ["KEDJA_KEEP_SNAPSHOTS", "KEDJA_KEEP_RECEIPTS", "KEDJA_KEEP_MODELS"])
def test_a_number_of_days_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name} is '{value}': it is a number of days"):
        Settings.read({name: value})


def test_zero_is_for_ever_or_never() -> None:
    zeros = {"KEDJA_KEEP_MODELS": "0", "KEDJA_KEEP_RECEIPTS": "", "KEDJA_START_DEADLINE": "0"}
    settings = Settings.read(zeros)
    assert (settings.keep_models, settings.keep_receipts, settings.start_deadline) == (0, 0, 0)


def test_the_key_of_the_topic_is_not_shown() -> None:
    settings = Settings.read({"KEDJA_EVENT_GRID_KEY": "very-secret"})
    assert settings.event_grid_key == "very-secret"
    assert "very-secret" not in repr(settings)


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "²", ""])
def test_a_number_that_is_none_is_named(value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"KEDJA_MAX_JOBS is '{value}': it is a whole number"):
        Settings.read({"KEDJA_MAX_JOBS": value})


def test_limits_are_read() -> None:
    names = {"KEDJA_MAX_JOBS": "7", "KEDJA_MAX_JOBS_PER_EXPERIMENT": "2", "KEDJA_MAX_PREEMPTIONS": "0"}
    settings = Settings.read({**names, "KEDJA_START_DEADLINE": "600"})
    assert (settings.max_jobs, settings.max_jobs_per_experiment, settings.max_preemptions) == (7, 2, 0)
    assert settings.start_deadline == 600

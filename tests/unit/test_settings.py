import pytest

from function_app.errors import InvalidSettings
from function_app.settings import Settings
from function_app.timing import Timing


def test_what_is_not_set_has_its_default() -> None:
    assert Settings.read({}) == Settings()


NO_TIMES = ["soon", "-1", "inf", "-inf", "nan", "1e300"]


@pytest.mark.parametrize("value", [*NO_TIMES, "", "0"])
@pytest.mark.parametrize("name", ["KEDJA_QUIET_PERIOD", "KEDJA_MAX_WAIT"])
def test_a_time_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(
        InvalidSettings, match=f"{name} is '{value}'; it must be a number of seconds, .* and more than 0"
    ):
        Settings.read({name: value})


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_deadline_that_is_none_is_named(value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"KEDJA_START_DEADLINE is '{value}'; .*; 0 means never"):
        Settings.read({"KEDJA_START_DEADLINE": value})


@pytest.mark.parametrize("value", NO_TIMES)
@pytest.mark.parametrize("name", ["KEDJA_KEEP_SNAPSHOTS", "KEDJA_KEEP_RECEIPTS", "KEDJA_KEEP_MODELS"])
def test_a_number_of_days_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name} is '{value}'; it must be a number of days"):
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
    with pytest.raises(InvalidSettings, match=f"KEDJA_MAX_JOBS is '{value}'; it must be a whole number"):
        Settings.read({"KEDJA_MAX_JOBS": value})


def test_limits_are_read() -> None:
    names = {"KEDJA_MAX_JOBS": "7", "KEDJA_MAX_JOBS_PER_EXPERIMENT": "2", "KEDJA_MAX_PREEMPTIONS": "0"}
    settings = Settings.read({**names, "KEDJA_START_DEADLINE": "600"})
    assert (settings.max_jobs, settings.max_jobs_per_experiment, settings.max_preemptions) == (7, 2, 0)
    assert settings.start_deadline == 600


class TestTiming:
    def test_a_field_is_overridden_and_the_others_keep_their_defaults(self) -> None:
        settings = Settings.read({"KEDJA_TIMING": '{"copy_check": 0.5, "lease": 15}'})
        assert settings.timing == Timing(copy_check=0.5, lease=15)

    @pytest.mark.parametrize("text", ["", "{}"])
    def test_nothing_overridden_is_the_default(self, text: str) -> None:
        assert Settings.read({"KEDJA_TIMING": text}).timing == Timing()

    @pytest.mark.parametrize(
        "value", ["0", "-1", '"5"', "true", "null", "[1]", "NaN", "Infinity", "1e300", f"1{'0' * 400}"]
    )
    def test_a_value_out_of_range_is_named(self, value: str) -> None:
        with pytest.raises(
            InvalidSettings, match=r"KEDJA_TIMING: copy_check is .*; it must be a number of seconds, more"
        ):
            Settings.read({"KEDJA_TIMING": f'{{"copy_check": {value}}}'})

    @pytest.mark.parametrize("value", ["14", "61", "15.5", "20.0", "true", "NaN"])
    def test_storage_must_grant_the_lease(self, value: str) -> None:
        with pytest.raises(InvalidSettings, match=r"lease is .*; it must be a whole number of seconds from 15 to 60"):
            Settings.read({"KEDJA_TIMING": f'{{"lease": {value}}}'})

    def test_an_unknown_field_is_named_with_those_there_are(self) -> None:
        with pytest.raises(InvalidSettings, match=r"unknown field 'copy_chek'\. Its fields: .*copy_check, "):
            Settings.read({"KEDJA_TIMING": '{"copy_chek": 1}'})

    @pytest.mark.parametrize("text", ["soon", "{", "[" * 100_000])
    def test_text_that_is_not_json_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidSettings, match="KEDJA_TIMING is not valid JSON"):
            Settings.read({"KEDJA_TIMING": text})

    @pytest.mark.parametrize("text", ["5", "[]", "null"])
    def test_a_value_that_is_no_object_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidSettings, match="KEDJA_TIMING must be a JSON object"):
            Settings.read({"KEDJA_TIMING": text})

from datetime import UTC, datetime, timedelta

import pytest
from azure.eventgrid import generate_sas
from starlette.datastructures import Headers

from local_azure.credentials import TOPIC_KEY
from local_azure.event_grid.access_key import Unauthorized, check

PATH = "/topics/kedja/api/events"
ENDPOINT = f"http://127.0.0.1:6500{PATH}"
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
OTHER_KEY = "YW5vdGhlciBrZXk="


def accept(headers: dict[str, str]) -> None:
    check(Headers(headers), PATH, TOPIC_KEY, NOW)


def token(endpoint: str = ENDPOINT, key: str = TOPIC_KEY, expires: datetime = NOW + timedelta(hours=1)) -> str:
    return generate_sas(endpoint, key, expires)


def test_the_key_is_enough() -> None:
    accept({"Aeg-Sas-Key": TOPIC_KEY})


@pytest.mark.parametrize("expires", [NOW + timedelta(hours=1), (NOW + timedelta(hours=1)).replace(tzinfo=None)])
def test_a_token_of_the_real_client_is_enough(expires: datetime) -> None:
    accept({"aeg-sas-token": token(expires=expires)})


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({}, "neither"),
        ({"authorization": "Bearer x"}, "neither"),
        ({"aeg-sas-key": OTHER_KEY}, "not the key"),
        ({"aeg-sas-token": token(key=OTHER_KEY)}, "signature"),
        ({"aeg-sas-token": token().replace("kedja", "other")}, "signature"),
        ({"aeg-sas-token": token(endpoint="http://127.0.0.1:6500/topics/storage/api/events")}, "made for"),
        ({"aeg-sas-token": token(expires=NOW)}, "expired"),
        ({"aeg-sas-token": "nonsense"}, "signature"),
    ],
)
def test_anything_else_is_refused_in_words(headers: dict[str, str], problem: str) -> None:
    with pytest.raises(Unauthorized, match=problem):
        accept(headers)

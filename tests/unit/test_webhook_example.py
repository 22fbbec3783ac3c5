import runpy
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "integrations" / "webhook.py"


def loaded(monkeypatch: pytest.MonkeyPatch, secret: str | None) -> dict[str, Any]:
    monkeypatch.delenv("WEBHOOK_SECRET", raising=False)
    if secret is not None:
        monkeypatch.setenv("WEBHOOK_SECRET", secret)
    return runpy.run_path(str(EXAMPLE))


@pytest.mark.parametrize("secret", [None, ""])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4", "example.org"])  # noqa: S104 - nothing listens there
def test_without_a_secret_it_does_not_listen_for_other_machines(
    monkeypatch: pytest.MonkeyPatch, host: str, secret: str | None
) -> None:
    example = loaded(monkeypatch, secret)
    with pytest.raises(SystemExit, match="WEBHOOK_SECRET is not set"):
        example["check"](host)


@pytest.mark.parametrize(
    ("host", "secret"), [("127.0.0.1", None), ("::1", None), ("localhost", None), ("10.0.0.4", "s")]
)
def test_it_listens_on_this_machine_and_elsewhere_with_a_secret(
    monkeypatch: pytest.MonkeyPatch, host: str, secret: str | None
) -> None:
    loaded(monkeypatch, secret)["check"](host)


@pytest.mark.parametrize(
    ("path", "known"), [("/?key=s3cret", True), ("/?key=wrong", False), ("/", False), ("/?key=%C3%A5", False)]
)
def test_senders_are_known_by_the_secret(monkeypatch: pytest.MonkeyPatch, path: str, known: bool) -> None:  # noqa: FBT001
    webhook = loaded(monkeypatch, "s3cret")["Webhook"]
    assert webhook.is_known(SimpleNamespace(path=path, headers=Message())) is known

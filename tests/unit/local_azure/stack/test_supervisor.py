import os
import signal
from collections.abc import Iterator

import pytest

from local_azure.stack.supervisor import main, raise_interrupt_once

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("first", SIGNALS)
def test_the_first_signal_interrupts_and_a_later_one_does_not_interrupt_the_stopping(first: signal.Signals) -> None:
    raise_interrupt_once()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), first)
    for number in SIGNALS:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("count", ["0", "1.5", "many"])
def test_a_count_of_jobs_that_is_none_is_refused(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--concurrency", count])
    assert f"{count!r} is not a positive whole number" in capsys.readouterr().err

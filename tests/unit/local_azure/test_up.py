import os
import signal
from collections.abc import Iterator

import pytest

from local_azure.up import interrupted_once

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
    interrupted_once()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), first)
    for number in SIGNALS:
        os.kill(os.getpid(), number)

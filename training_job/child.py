"""Runs the script's process: signals passed on, its end told apart."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from training_job.errors import CommandError

_FORWARDED = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_MEMORY_EVENTS = (
    Path("/sys/fs/cgroup/memory.events"),  # of this control group: version 2,
    Path("/sys/fs/cgroup/memory/memory.oom_control"),  # and 1
    Path("/proc/vmstat"),  # of the whole machine
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a process ended: its exit code (128 + n for signal n), the signal's name, and whether memory ran out."""

    exit_code: int
    signal: str | None
    out_of_memory: bool


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    is_shell: bool = False,
    started: Callable[[], None] = lambda: None,
) -> End:
    """Run a command in a process group of its own, with our own output, until it ends.

    `started` is called once it runs: threads begin there, as none may run while the process is made.
    SIGTERM and SIGINT are passed on to the group; what is left of the group in the end is killed. An exit code above
    128 counts as a signal where it is a shell's, of its last command, or where that signal was passed on.

    Raises:
        CommandError: The command cannot be started.
    """
    kills_before = _memory_kills()
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            process_group=0,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - no thread runs yet
        )
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be started: {error.strerror}") from error
    with _forwarding(process) as forwarded:
        started()
        code = process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    number = -code if code < 0 else code - 128
    if code >= 0 and not (number > 0 and (is_shell or number in forwarded)):
        number = 0
    name = _signal_name(number)
    return End(
        exit_code=128 - code if code < 0 else code,
        signal=name,
        out_of_memory=name == "SIGKILL" and _memory_kills() > kills_before,
    )


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[set[int]]:
    forwarded: set[int] = set()

    def forward(number: int, _: FrameType | None) -> None:
        forwarded.add(number)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield forwarded
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes the script end if we are killed, as its own group would otherwise outlive us (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask


def _memory_kills() -> int:
    """Return how many processes the kernel has killed for memory, of this control group or else of the machine.

    0 where it doesn't say.
    """
    for path in _MEMORY_EVENTS:
        with suppress(OSError, ValueError):
            lines = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            if "oom_kill" in lines:
                return int(lines["oom_kill"])
    return 0


def _signal_name(number: int) -> str | None:
    with suppress(ValueError):
        return signal.Signals(number).name
    return None

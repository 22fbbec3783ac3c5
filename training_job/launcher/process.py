"""Runs the script's process, forwards signals to it, and reports how it ended."""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from training_job.errors import CommandError

_FORWARDED = (signal.SIGTERM, signal.SIGINT)
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_GRACE_SECONDS = 20.0  # for the commands of a shell that a signal has ended
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_MEMORY_EVENTS = (
    Path("/sys/fs/cgroup/memory.events"),  # of this control group: version 2,
    Path("/sys/fs/cgroup/memory/memory.oom_control"),  # and 1
    Path("/proc/vmstat"),  # of the whole machine
)


@dataclass(frozen=True, kw_only=True)
class ProcessExit:
    """How a process ended: its exit code (128 + n for signal n), the signal's name, and whether memory ran out."""

    exit_code: int
    signal: str | None
    out_of_memory: bool


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    is_shell: bool = False,
    started: Callable[[int], None] = lambda _: None,
) -> ProcessExit:
    """Run a command in a process group of its own, with our own output, until it ends.

    `started` is called with the process id, which is also the group's, once the process runs. Threads may start there,
    but not earlier, as the process is forked. SIGTERM and SIGINT are forwarded to the command and, if it is a shell, to
    the commands that it runs; not to workers, which the command itself must end. Remaining processes of the group are
    killed at the end. An exit code above 128 counts as a signal if the command is a shell, or if that signal was
    forwarded.

    Raises:
        CommandError: The command cannot be started.
    """
    kills_before = memory_kills()
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            process_group=0,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - no thread runs yet
        )
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be started: {error.strerror}") from error
    with _forwarding(process) as forwarding:
        started(process.pid)
        code = process.wait()
        forwarding.wait_for_the_rest()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    number = -code if code < 0 else code - 128
    if code >= 0 and not (number > 0 and (is_shell or number in forwarding.numbers)):
        number = 0
    name = _signal_name(number)
    return ProcessExit(
        exit_code=128 - code if code < 0 else code,
        signal=name,
        out_of_memory=name == "SIGKILL" and memory_kills() > kills_before,
    )


class _Forwarding:
    """Forwards signals to a command. `numbers` are the signals that were received."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.numbers: set[int] = set()
        self._process = process
        self._rest: dict[int, int] = {}  # process id to descriptor, of the commands of a shell

    def forward(self, number: int, _: FrameType | None) -> None:
        self.numbers.add(number)
        # Looked up before the shell has ended, as they get another parent then.
        for pid in _run_by_shell(self._process.pid) if self._process.returncode is None else ():
            with suppress(OSError):
                self._rest.setdefault(pid, os.pidfd_open(pid))
        self._process.send_signal(number)
        for descriptor in self._rest.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)

    def wait_for_the_rest(self) -> None:
        """Wait for the commands of a shell: the shell ends at once, but a Trainer ends after its iteration."""
        until = time.monotonic() + _GRACE_SECONDS
        for descriptor in self._rest.values():
            select.select([descriptor], [], [], max(0.0, until - time.monotonic()))

    def close(self) -> None:
        for descriptor in self._rest.values():
            os.close(descriptor)


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[_Forwarding]:
    forwarding = _Forwarding(process)
    before = {number: signal.signal(number, forwarding.forward) for number in _FORWARDED}
    try:
        yield forwarding
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        forwarding.close()


def _run_by_shell(pid: int) -> list[int]:
    """Return the child processes of a shell, recursively for shells; none if it is no shell (Linux only)."""
    found: list[int] = []
    with suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() in _SHELLS:
            for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()):
                found += [child, *_run_by_shell(child)]
    return found


def _end_with_parent() -> Callable[[], None] | None:
    """Return a function that makes the script end if this process is killed, as its group would outlive it (Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return set_signal


def memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory; 0 if that is unknown.

    Those of this control group count or, without one, those of the machine.
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

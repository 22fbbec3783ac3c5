import os
import sys
from pathlib import Path

import pytest

from training_job.errors import CommandError
from training_job.launcher import process


def run(code: str) -> process.ProcessExit:
    return process.run([sys.executable, "-c", code], os.environ)


def test_an_exit_code() -> None:
    assert run("raise SystemExit(3)") == process.ProcessExit(exit_code=3, signal=None, out_of_memory=False)


@pytest.mark.parametrize(("kills", "lost"), [(("0", "1"), 1), (("1", "1"), 0)])
def test_a_kill_for_memory_is_the_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: tuple[str, str], lost: int
) -> None:
    events = tmp_path / "memory.events"
    events.write_text(f"low 0\noom_kill {kills[0]}\n")
    monkeypatch.setattr(process, "_MEMORY_EVENTS", (events,))
    write = f"open({str(events)!r}, 'w').write('oom_kill {kills[1]}')"
    code = f"import os, signal; {write}; os.kill(os.getpid(), signal.SIGKILL)"
    assert run(code) == process.ProcessExit(exit_code=137, signal="SIGKILL", out_of_memory=bool(lost))


def test_where_the_kernel_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MEMORY_EVENTS", (tmp_path / "none",))
    assert process.memory_kills() == 0


def test_a_command_that_may_not_run(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(CommandError, match="cannot be started: Permission denied"):
        process.run([str(tmp_path / "x")], os.environ)


def test_what_is_to_start_with_it_starts() -> None:
    called: list[int] = []
    process.run(["true"], os.environ, started=called.append)
    assert len(called) == 1
    assert called[0] > 0


def test_an_exit_code_that_only_looks_like_a_signal() -> None:
    assert run("raise SystemExit(143)") == process.ProcessExit(exit_code=143, signal=None, out_of_memory=False)

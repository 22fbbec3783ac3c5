import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest

from tests.unit.training_job.drops import Drop, manifest_of
from training_job import launch
from training_job.launcher import watchdog
from training_job.launcher.watchdog import DeadWorker, Sample, StallDetector, Watchdog

DEAD = (DeadWorker(2, -9),)


def verdicts(samples: Sequence[Sample], every: float = 10.0) -> list[str]:
    detector = StallDetector(60.0, 300.0)
    return [detector.judge(number * every, sample).name for number, sample in enumerate(samples)]


def test_a_dead_worker_and_nothing_else_moves() -> None:
    found = verdicts([Sample(used={1: 5.0, 2: 3.0})] + [Sample(used={1: 5.0}, dead=DEAD)] * 40)
    assert (found.index("STALLED"), found.index("HOPELESS")) == (7, 31)
    assert set(found[:7]) == {"WORKS"}


def test_a_little_time_of_a_processor_is_none() -> None:
    found = verdicts([Sample(used={1: 5.0 + 0.05 * number}, dead=DEAD) for number in range(40)])
    assert found.index("STALLED") == 6


@pytest.mark.parametrize(
    "samples",
    [
        [Sample(used={1: 5.0})] * 100,
        [Sample(used={1: 5.0 + number, 3: 1.0}, dead=DEAD) for number in range(100)],
        [Sample(used={1: 5.0, 3: 0.5 * number}, dead=DEAD) for number in range(100)],
        [Sample(used={1: 5.0, number: 0.0}, dead=DEAD) for number in range(100)],
        [Sample(used={1: 5.0 + (number // 5)}, dead=DEAD) for number in range(100)],
        [Sample(used={1: 5.0}, dead=DEAD if number % 5 else ()) for number in range(100)],
    ],
    ids=["no worker died", "the parent works", "another works", "new processes", "works now and then", "was reaped"],
)
def test_a_script_that_moves_is_left_alone(samples: Sequence[Sample]) -> None:
    assert set(verdicts(samples)) == {"WORKS"}


def test_another_death_starts_anew() -> None:
    dead = Sample(used={1: 5.0}, dead=DEAD)
    found = verdicts([dead] * 6 + [Sample(used={1: 5.0}, dead=(*DEAD, DeadWorker(3, 1)))] * 7)
    assert found.count("STALLED") == 1


def test_it_is_named_once_and_then_ended(records: Callable[[], list[dict[str, Any]]]) -> None:
    now = [0.0]

    def sample(group: int, reported: Iterable[tuple[int, int]]) -> Sample:
        return Sample(used={group: 5.0}, dead=tuple(DeadWorker(*worker) for worker in reported))

    dog = Watchdog(lambda: [(7, -9)], sample=sample, clock=lambda: now[0])
    looks = []
    for now[0] in (0.0, 59.0, 61.0, 200.0, 299.0, 301.0):
        looks.append(dog.look(1))
    assert looks == [False] * 5 + [True]
    assert dog.reason == "worker process 7 was ended by SIGKILL, and the script waited for it for 5 minutes"
    (note,) = (record["note"] for record in records())
    assert note.startswith("Worker process 7 was ended by SIGKILL, and the script has not used the processor since: ")


def test_a_sample_of_real_processes() -> None:
    code = """
import os, sys
for how in ("exit 3", "kill", "exit 0", "wait"):
    if (pid := os.fork()) == 0:
        if how == "kill":
            os.kill(os.getpid(), 9)
        elif how == "wait":
            sys.stdin.read()
        os._exit(3 if how == "exit 3" else 0)
    print(pid, flush=True)
    if how != "wait":
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print("ready", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        failed, killed, _, waiting = (int(process.stdout.readline()) for _ in range(4))
        assert process.stdout.readline() == "ready\n"
        found = watchdog.take_sample(process.pid, [(5, 1), (6, 0)])
        process.kill()
        os.kill(waiting, 9)
    assert set(found.dead) == {DeadWorker(failed, 3), DeadWorker(killed, -9), DeadWorker(5, 1)}
    assert found.used.keys() == {process.pid, waiting}
    assert found.used[process.pid] > 0


POOL = """
    import multiprocessing, os, signal

    def work(number):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    if __name__ == "__main__":
        with multiprocessing.Pool(2) as pool:
            print(pool.map(work, range(4), chunksize=1))
    """
PIPE = """
    import multiprocessing

    def work(connection):
        raise ValueError("in a worker")

    if __name__ == "__main__":
        here, there = multiprocessing.Pipe()
        multiprocessing.Process(target=work, args=(there,)).start()
        here.recv()
    """


@pytest.mark.parametrize(("script", "end"), [(POOL, "was ended by SIGKILL"), (PIPE, "ended with exit code 1")])
def test_a_job_that_waits_for_a_dead_worker_is_ended(
    drop: Drop, monkeypatch: pytest.MonkeyPatch, script: str, end: str
) -> None:
    for name, seconds in (("NAMED_AFTER", 0.3), ("ENDED_AFTER", 0.6), ("POLL", 0.1)):
        monkeypatch.setattr(watchdog, f"{name}_SECONDS", seconds)
    monkeypatch.setattr(watchdog, "_IDLE_SECONDS", 0.5)
    drop.scripts = {"train.py": script}
    drop.write()
    monkeypatch.chdir(drop.root)
    monkeypatch.setenv("KEDJA_METRICS", "")  # main sets it
    environment: Mapping[str, str] = drop.environment()
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    assert launch.main(drop.command("python", "train.py")[3:]) == 1
    written = manifest_of(drop.root)
    assert (written["result"], written["exit_code"], written["signal"]) == ("failed", 1, None)
    assert f" {end}, and the script waited for it" in written["reason"]
    assert len(written["notes"]) == 1


def test_a_pool_that_ends_its_own_workers_is_no_death(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import multiprocessing, os, time

            if __name__ == "__main__":
                with multiprocessing.Pool(2) as pool:
                    pool.map(abs, range(4))
                process = multiprocessing.Process(target=time.sleep, args=(600,))
                process.start()
                process.terminate()
                process.join()
                print(process.exitcode, "worker" in open(os.environ["KEDJA_METRICS"], "a+").read())
            """
    }
    assert drop.launch("python", "train.py").output == "-15 False\n"

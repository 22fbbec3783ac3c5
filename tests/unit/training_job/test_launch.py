import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.training_job.drops import Drop, manifest_of
from training_job import launch
from training_job.launcher import data_folder


def test_a_script_runs_as_its_author_ran_it(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import os, pathlib, sys
            import helpers.deep
            print(__name__, sys.argv, os.path.abspath(__file__) == os.path.abspath("train.py"))
            print(helpers.deep.WORD, pathlib.Path("notes/a.txt").read_text())
            """,
        "helpers/__init__.py": "",
        "helpers/deep.py": "WORD = 'found'",
        "notes/a.txt": "a note",
    }
    ended = drop.launch("python", "train.py", "--epochs", "3", "a b")
    assert ended.output.splitlines() == ["__main__ ['train.py', '--epochs', '3', 'a b'] True", "found a note"]
    assert ended.code == 0
    assert ended.manifest == {
        "version": 1,
        "result": "completed",
        "reason": None,
        "exit_code": 0,
        "signal": None,
        "out_of_memory": False,
        "failed_rank": None,
        "model": None,
        "model_reason": "The script saved no Link, and wrote nothing outside of outputs.",
        "notes": [],
        "metrics": {},
        "files": [],
    }


def test_a_script_in_a_folder_finds_the_packages_at_the_top(drop: Drop) -> None:
    drop.scripts = {
        "evaluate/train.py": "import mine, json; print(mine.WORD, json.__file__.endswith('json/__init__.py'))",
        "mine/__init__.py": "WORD = 'found'",
        "json.py": "",
    }
    assert drop.launch("python", "evaluate/train.py").output.strip() == "found True"


def test_the_manifest_names_every_output_with_its_hash(drop: Drop) -> None:
    drop.scripts = {
        "train.py": "import os; os.mkdir('outputs/a'); open('outputs/a/m.npz', 'w').write('x'); open('logs/l', 'w')"
    }
    ended = drop.launch("python", "train.py")
    assert ended.manifest["files"] == [{"path": "a/m.npz", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}]


def test_python_is_the_one_that_runs_launch(drop: Drop) -> None:
    drop.scripts = {"train.py": "import sys; print(sys.prefix)"}
    assert drop.launch("python", "train.py", PATH="/usr/bin:/bin").output.strip() == sys.prefix


def test_a_shell_line_runs_each_of_its_lines(drop: Drop) -> None:
    drop.scripts = {"a.py": "print('a')", "b.py": "print('b')"}
    ended = drop.launch(shell="python a.py\npython b.py && exit 3")  # noqa: S604 - not subprocess's
    assert ended.output.split() == ["a", "b"]
    assert (ended.code, ended.manifest["exit_code"], ended.manifest["signal"]) == (3, 3, None)


def test_the_data_folder_is_named(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os; print(open(os.environ['KEDJA_DATA'] + '/a/x.txt').read())"}
    drop.data = {"a/x.txt": b"data"}
    assert drop.launch("python", "train.py").output.strip() == "data"


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("import sys; sys.exit(1)", 1, "the script ended with exit code 1"),
        ("import sys; sys.exit('text')", 1, "the script ended with exit code 1"),
        ("raise ValueError('two\\nlines')", 1, "the script ended with ValueError: two lines"),
        ("import sys; sys.exit(65)", 65, "the script ended with exit code 65"),
    ],
)
def test_an_exit_code_is_passed_on(drop: Drop, script: str, code: int, reason: str) -> None:
    drop.scripts = {"train.py": script}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.manifest["exit_code"]) == (code, code)
    assert (ended.manifest["result"], ended.manifest["reason"], ended.manifest["signal"]) == ("failed", reason, None)


def test_a_traceback_and_the_text_of_an_exit_are_still_shown(drop: Drop) -> None:
    drop.scripts = {"train.py": "raise ValueError('bad')"}
    assert "Traceback" in drop.launch("python", "train.py").errors
    drop.scripts = {"train.py": "import sys; sys.exit('words')"}
    assert "words" in drop.launch("python", "train.py").errors


@pytest.mark.parametrize("shell", [None, "python train.py; exit $?"])
def test_a_signal_is_told_apart(drop: Drop, shell: str | None) -> None:
    drop.scripts = {"train.py": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"}
    ended = drop.launch("python", "train.py", shell=shell)
    assert ended.code == 128 + signal.SIGSEGV
    assert (ended.manifest["signal"], ended.manifest["exit_code"]) == ("SIGSEGV", 139)
    assert ended.manifest["reason"] == "the script was ended by SIGSEGV"


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        ("MemoryError('8 GiB')", "MemoryError: 8 GiB"),
        ("RuntimeError('cudaErrorMemoryAllocation: out of memory')", "RuntimeError: cudaErrorMemoryAllocation: out of"),
        ("OSError('CUDA_ERROR_OUT_OF_MEMORY')", "OSError: CUDA_ERROR_OUT_OF_MEMORY"),
        ("OSError('CUBLAS_STATUS_ALLOC_FAILED')", "OSError: CUBLAS_STATUS_ALLOC_FAILED"),
    ],
)
def test_lost_memory_is_told_apart(drop: Drop, raised: str, reason: str) -> None:
    drop.scripts = {"train.py": f"raise {raised}"}
    ended = drop.launch("python", "train.py")
    assert ended.manifest["out_of_memory"] is True
    assert ended.manifest["reason"].startswith(f"the script ended with {reason}")


def test_a_command_that_is_not_there(drop: Drop) -> None:
    ended = drop.launch("no-such-command")
    assert ended.code == 127
    assert ended.manifest["reason"] == "no-such-command cannot be started: No such file or directory"


def test_sigterm_reaches_the_script_and_what_it_started(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import signal, subprocess, sys, time
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            def end(*_):
                print("saved", flush=True)
                sys.exit(7)
            signal.signal(signal.SIGTERM, end)
            print("ready", flush=True)
            time.sleep(600)
            """
    }
    drop.write()
    folder = drop.root / "job"
    folder.mkdir()
    process = subprocess.Popen(
        drop.command("python", "train.py"), cwd=folder, env=drop.environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    # The end of the output is the end of the grandchild too, which holds it open.
    assert process.communicate(timeout=30)[0] == "saved\n"
    assert process.returncode == 7
    assert manifest_of(folder)["exit_code"] == 7


def test_a_killed_job_takes_its_script_along_and_leaves_no_manifest(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os, time; print(os.getpid(), flush=True); time.sleep(600)"}
    drop.write()
    folder = drop.root / "job"
    folder.mkdir()
    process = subprocess.Popen(
        drop.command("python", "train.py"), cwd=folder, env=drop.environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    script = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=30)
    until = time.monotonic() + 10
    while Path(f"/proc/{script}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{script}").exists()
    assert not (folder / "outputs/.kedja-manifest.json").exists()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda folder: (folder / "x.npz").write_bytes(b"DATA"), "data file x.npz has other content"),
    "size": (lambda folder: (folder / "x.npz").write_bytes(b"longer"), "data file x.npz has 6 bytes; it had 4"),
    "gone": (lambda folder: (folder / "x.npz").unlink(), "data file x.npz is gone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_data_that_changed_before_the_script_ran(drop: Drop, change: str) -> None:
    drop.scripts = {"train.py": "print('ran')"}
    drop.data = {"x.npz": b"data"}
    drop.write()
    alter, reason = CHANGES[change]
    alter(drop.data_folder)
    done = subprocess.run(
        drop.command("python", "train.py"), cwd=drop.root, env=drop.environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (65, b"")
    written = manifest_of(drop.root)
    assert (written["result"], written["exit_code"]) == ("changed-since-snapshot", 65)
    assert written["reason"].startswith(reason)


def test_data_that_changed_while_the_script_ran(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os; open(os.environ['KEDJA_DATA'] + '/x', 'w').write('dada')"}
    drop.data = {"x": b"data"}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.manifest["result"]) == (65, "changed-since-snapshot")


def test_a_script_that_failed_says_so_even_if_its_data_changed(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import os
            open(os.environ["KEDJA_DATA"] + "/x", "w").write("dada")
            raise ValueError("its own error")
            """
    }
    drop.data = {"x": b"data"}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.manifest["result"]) == (1, "failed")
    assert ended.manifest["reason"] == "the script ended with ValueError: its own error"
    assert ended.manifest["notes"] == [
        "While the script ran, its data changed: data file x has other content than when it was dropped."
    ]


def test_a_script_may_write_among_its_data(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import os, pathlib
            data = pathlib.Path(os.environ["KEDJA_DATA"])
            (data / "a/cache.npz").write_bytes(b"cache")
            (data / "a/new.txt").write_bytes(b"another")
            os.replace(data / "a/new.txt", data / "a/x.txt")
            (data / "y.txt").unlink()
            print((data / "a/x.txt").read_text(), sorted(path.name for path in data.rglob("*")))
            """
    }
    drop.data = {"a/x.txt": b"data", "y.txt": b"data"}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.output) == (0, "another ['a', 'cache.npz', 'x.txt']\n")
    found = {path.name: path.read_bytes() for path in drop.data_folder.rglob("*") if path.is_file()}
    assert found == {"x.txt": b"data", "y.txt": b"data"}


def test_a_script_sees_the_files_of_its_drop_and_no_others(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os; print(os.listdir(os.environ['KEDJA_DATA']))"}
    drop.data = {"x": b"data"}
    drop.data_folder.mkdir()
    (drop.data_folder / "uploaded-later").write_bytes(b"")
    (drop.data_folder / "_SUCCESS").write_bytes(b"")
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.output) == (0, "['x']\n")


@pytest.mark.parametrize("name", ["training_job/x.py", "outputs/model.npz", "logs", ".kedja/x"])
def test_a_script_with_a_name_of_the_job_is_refused(drop: Drop, name: str) -> None:
    drop.scripts = {"train.py": "print('ran')", name: ""}
    ended = drop.launch("python", "train.py")
    assert (ended.code, ended.output, ended.manifest["result"]) == (65, "", "refused")
    assert ended.manifest["reason"].startswith(f"the dropped script {name} takes the name")


def test_a_snapshot_that_is_not_there_is_refused(drop: Drop) -> None:
    done = subprocess.run(
        drop.command("python", "train.py"), cwd=drop.root, env=drop.environment(), capture_output=True, check=False
    )
    assert done.returncode == 65
    assert manifest_of(drop.root)["result"] == "refused"


def test_metrics_of_each_source_reach_the_manifest(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import json, os
            with open(os.environ["KEDJA_METRICS"], "a") as stream:
                for value in (0.5, 0.75):
                    print(json.dumps({"metric": "f1", "value": value}), file=stream)
            from azureml.core.run import Run
            Run.get_context().log("Accuracy", 0.9)
            json.dump({"recall": 0.25, "f1": 0.8, "note": "x", "ok": True}, open("outputs/metrics.json", "w"))
            """
    }
    assert drop.launch("python", "train.py").metrics == {"f1": 0.8, "Accuracy": 0.9, "recall": 0.25, "accuracy": 0.9}


def test_an_error_that_nobody_foresaw_is_in_the_manifest(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("list index out of range")

    drop.scripts, drop.data = {"train.py": "print('ran')"}, {"x": b"data"}
    drop.write()
    monkeypatch.chdir(drop.root)
    monkeypatch.setenv("KEDJA_METRICS", "")  # main sets it
    monkeypatch.setattr(data_folder, "prepare", fail)
    assert launch.main(drop.command("python", "train.py")[3:]) == 1
    written = manifest_of(drop.root)
    assert (written["result"], written["exit_code"]) == ("failed", 1)
    assert written["reason"] == "IndexError: list index out of range"


def test_an_mlflow_that_fails_is_one_warning(drop: Drop) -> None:
    drop.scripts = {"train.py": "from azureml.core import Run; Run.get_context().log('a', 1)"}
    ended = drop.launch(
        "python",
        "train.py",
        MLFLOW_TRACKING_URI="unknown-scheme://nowhere",
        MLFLOW_RUN_ID="x",
    )
    assert (ended.code, ended.metrics) == (0, {"a": 1.0})
    assert ended.errors.count("cannot be sent to MLflow") == 1


def test_code_is_the_folder_that_a_script_runs_from(drop: Drop) -> None:
    drop.scripts = {
        "src/train.py": "import os, helper; print(helper.WORD, sorted(n for n in os.listdir('.') if n[0] not in '._'))",
        "src/helper.py": "WORD = 'found'",
        "src/requirements.txt": "numpy",
        "outputs/old.npz": "",
        "README.md": "",
    }
    drop.write()
    folder = drop.root / "job"
    folder.mkdir()
    command = [*drop.command("python", "train.py")[:5], "--code", "src", "--", "python", "train.py"]
    done = subprocess.run(command, cwd=folder, env=drop.environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "found ['helper.py', 'logs', 'outputs', 'requirements.txt', 'train.py']"
    assert manifest_of(folder)["files"] == []


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("lib", 65, "job.yaml says code: lib, and the drop has no script in that folder"),
        ("train.py", 65, "takes the name '.'"),
        ("../x", 2, "is no relative path inside the drop"),
    ],
)
def test_a_code_folder_that_is_not_there(drop: Drop, code: str, exit_code: int, message: str) -> None:
    drop.scripts = {"train.py": "print('ran')"}
    drop.write()
    command = [*drop.command("python", "train.py")[:5], "--code", code, "--", "python", "train.py"]
    done = subprocess.run(command, cwd=drop.root, env=drop.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert message in done.stderr


def test_a_manifest_of_an_earlier_start_does_not_stay(drop: Drop) -> None:
    drop.scripts = {"train.py": "import os; print(os.path.exists('outputs/.kedja-manifest.json'))"}
    assert drop.launch("python", "train.py").output == "False\n"
    assert drop.launch("python", "train.py").output == "False\n"


@pytest.mark.parametrize(
    "arguments",
    [("--gpu", "0"), ("--gpu=1",), ("--gpu",), ("--device", "@cupy:0"), ("--device", "cuda"), ("--gpu_id", "0")],
)
def test_a_gpu_that_is_not_there_is_an_early_error(drop: Drop, arguments: tuple[str, ...]) -> None:
    drop.scripts = {"train.py": "print('ran')"}
    ended = drop.launch("python", "train.py", *arguments, CUDA_VISIBLE_DEVICES="")
    assert (ended.code, ended.output, ended.manifest["result"]) == (65, "", "refused")
    assert "asks for a GPU, and none can be used here" in ended.manifest["reason"]


@pytest.mark.parametrize(
    "arguments", [("--gpu", "-1"), ("--device", "@numpy"), ("--device=-1",), ("--gpus", "0"), ("-g", "0"), ()]
)
def test_what_asks_for_no_gpu_runs(drop: Drop, arguments: tuple[str, ...]) -> None:
    drop.scripts = {"train.py": "print('ran')"}
    assert drop.launch("python", "train.py", *arguments, CUDA_VISIBLE_DEVICES="").output == "ran\n"

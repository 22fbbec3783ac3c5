"""How long the Functions worker needs to import, index and load Kedja's app, against a bare `azure.functions` app.

Run `python benchmarks/indexing.py [runs]`. Each run is a fresh process, the two apps in turn, so that what else the
machine does falls on both. The clock starts when the interpreter is up, and stops when every function is loaded. The
bare app has one queue, one timer and one HTTP function; Kedja's is app.py in the repository's root.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

_LOAD = """
import time
began = time.perf_counter()
import asyncio, json, sys
from pathlib import Path
from local_azure.functions_host.worker import Worker
worker = asyncio.run(Worker.start(Path(sys.argv[1])))
milliseconds = (time.perf_counter() - began) * 1e3
print(json.dumps([milliseconds, [function.name for function in worker.functions]]))
"""

_BARE = """
import azure.functions as func

app = func.FunctionApp()


@app.queue_trigger(arg_name="message", queue_name="drops", connection="AzureWebJobsStorage")
def on_message(message: func.QueueMessage) -> None:
    pass


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def on_time(timer: func.TimerRequest) -> None:
    pass


@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")
"""


def load(root: Path, settings: dict[str, str]) -> tuple[float, list[str]]:
    """Load the app in `root` in a fresh process; return the milliseconds, and the names of its functions."""
    environment = {**os.environ, **settings, "PYTHONPATH": str(REPOSITORY), "PYTHON_SCRIPT_FILE_NAME": "app.py"}
    process = subprocess.run(
        [sys.executable, "-c", _LOAD, str(root)], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if process.returncode != 0:
        sys.exit(f"The app in {root} could not be loaded; its error stands above.")
    milliseconds, names = json.loads(process.stdout.splitlines()[-1])
    return milliseconds, names


def local_settings() -> dict[str, str]:
    """Return what Kedja's app is run with on this machine, where that was written; else nothing."""
    file = REPOSITORY / ".kedja" / "local.settings.json"
    values: dict[str, str] = json.loads(file.read_text())["Values"] if file.exists() else {}
    return values


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(_BARE)
        apps = {"bare": (Path(folder), {}), "kedja": (REPOSITORY, local_settings())}
        for name, (root, settings) in apps.items():  # once untimed, so that byte code is compiled and files are read
            print(f"{name:6s} functions: {', '.join(load(root, settings)[1])}")
        times: dict[str, list[float]] = {name: [] for name in apps}
        for _ in range(runs):
            for name, (root, settings) in apps.items():
                times[name].append(load(root, settings)[0])
    for name, measured in times.items():
        print(
            f"{name:6s} median {statistics.median(measured):6.0f} ms, "
            f"fastest {min(measured):6.0f} ms, slowest {max(measured):6.0f} ms, n={runs}"
        )
    print(f"ratio of the medians: {statistics.median(times['kedja']) / statistics.median(times['bare']):.2f}")


if __name__ == "__main__":
    main()

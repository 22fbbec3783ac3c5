"""What a script's processes report to `launch`, such as metrics and failures: JSON lines in the file KEDJA_METRICS.

Each line is one record, written by one append, so that several processes can write. A record is one of

- `{"metric": "accuracy", "value": 0.97, "step": 3, "time": 1700000000000}`; step may be null, time is in milliseconds
- `{"tag": "author", "value": "me"}`
- `{"note": "…", "first": false}`: a fact about the job that its owner should see on the receipt, in one line
- `{"worker": 123, "exit_code": -9}`: a worker process that ended abnormally; -n is signal n
- `{"saved": {"path": "/…/model.npz", "kind": "npz", …}}`: a Link or a Trainer that was saved; `kind` is `npz`, `hdf5`,
  `pickle` or `snapshot` (of a Trainer). `hooks/saved_objects.py` has the other keys
- `{"out": "/…/result", "is_new": true}`: the folder of a Trainer, and whether it was empty before
- `{"failure": "DatasetError: …", "refused": true}`: why the process will fail; `module` may name the one that it lacks

A script may write metrics itself, with no package of Kedja: `{"metric": …, "value": …}` is enough.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

FILE_VARIABLE = "KEDJA_METRICS"

_latest: dict[str, tuple[float, int | None]] = {}


def log(values: Mapping[str, float], *, step: int | None = None) -> None:
    """Record a value for each name. Does nothing in a process that `launch` did not start."""
    now = int(time.time() * 1000)
    _latest.update({name: (float(value), step) for name, value in values.items()})
    _append(*({"metric": name, "value": float(value), "step": step, "time": now} for name, value in values.items()))


def latest() -> dict[str, tuple[float, int | None]]:
    """Return the last value and step of each metric that this process has recorded."""
    return dict(_latest)


def tag(name: str, value: str) -> None:
    """Record a tag for the run. Does nothing in a process that `launch` did not start."""
    _append({"tag": name, "value": value})


def note(text: str, *, first: bool = False) -> None:
    """Record a fact that the job's owner should see on the receipt, before all others if `first`. It is kept once."""
    _append({"note": " ".join(text.split()), "first": first})


def dead_worker(pid: int, exit_code: int) -> None:
    """Record that a worker process of this process ended abnormally; -n is signal n."""
    _append({"worker": pid, "exit_code": exit_code})


def saved(document: Mapping[str, object]) -> None:
    """Record that a Link or a Trainer was saved: the file and what it holds. The time, in ms, is added."""
    _append({"saved": {**document, "time": int(time.time() * 1000)}})


def out(folder: str, *, is_new: bool) -> None:
    """Record the folder to which a Trainer writes, and whether it was empty or missing before."""
    _append({"out": folder, "is_new": is_new})


def failure(reason: str, *, refused: bool = False, module: str | None = None) -> None:
    """Record in one line why this process will fail.

    `refused` means that its input is invalid; `module` is the name of a module that it lacks.
    """
    record = {"failure": " ".join(reason.split()), "refused": refused}
    _append(record if module is None else record | {"module": module})


def _append(*records: Mapping[str, object]) -> None:
    file = os.environ.get(FILE_VARIABLE)
    if file is None or not records:
        return
    lines = "".join(json.dumps(record) + "\n" for record in records)
    with Path(file).open("ab", buffering=0) as stream:
        stream.write(lines.encode())

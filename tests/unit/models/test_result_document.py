"""A job's result is read whatever the job wrote: in little memory, and no further than the first mistake."""

import contextlib
import json
import tracemalloc
from typing import Any

import pytest

from function_app.models import lineage
from function_app.models.job_result import LIMIT, LONGEST_REASON, JobResult, UnreadableResult, truncate_metrics
from function_app.models.lineage import metrics_property
from function_app.models.result_document import LONGEST_NOTE, MOST_METRICS, MOST_NOTES, Malformed, read_result
from function_app.ports.training_service import BlobFolder
from tests.unit.many_files import SHA256, result
from tests.unit.memory import MemoryBlobs, VirtualClock

MIB = 1 << 20
OUTPUTS = BlobFolder(container="azureml", prefix="outputs/")
DONE = '{"result": "completed", "exit_code": 0'
FILE = {"path": "a", "size": 1, "sha256": SHA256}


def read(document: bytes | dict[str, Any], **options: Any) -> JobResult:  # noqa: ANN401 - those of JobResult.read
    blobs = MemoryBlobs(VirtualClock())
    data = document if isinstance(document, bytes) else json.dumps({"result": "completed", **document}).encode()
    blobs.upload("azureml", "outputs/.kedja-manifest.json", data)
    found = JobResult.read(blobs, OUTPUTS, **options)
    assert found is not None
    return found


def refusal(document: bytes | dict[str, Any]) -> str:
    with pytest.raises(UnreadableResult) as caught:
        read(document)
    return str(caught.value)


def filled(head: str, piece: str, tail: str, size: int = 128 << 10) -> bytes:
    """Return a document with so many bytes of pieces, each with a number of its own in the place of `#`."""
    count = size // (len(piece) + 1 + 5 * ("#" in piece))
    return (head + ",".join(piece.replace("#", f"{number:06x}") for number in range(count)) + tail).encode()


def test_what_a_job_says_is_read() -> None:
    found = read(
        {
            "exit_code": 3,
            "reason": "r",
            "signal": None,
            "out_of_memory": True,
            "model": "result/model.npz",
            "model_reason": "Saved last.",
            "notes": ["one", "  two\nlines "],
            "metrics": {"a": 1, "b": 0.5, "c": "NaN", "a\n": "-inf"},
            "files": [FILE, {**FILE, "path": "sub/ö", "mode": {"x": [1, {}]}}],
            "newer": {"list": [[1, 2], {"x": None}]},
        }
    )
    assert (found.result, found.reason, found.exit_code, found.signal, found.out_of_memory) == (
        "completed",
        "r",
        3,
        None,
        True,
    )
    assert (found.model, found.model_reason) == ("result/model.npz", "Saved last.")
    assert found.notes == ("one", "two lines")
    assert str(found.metrics) == "{'a': 1.0, 'b': 0.5, 'c': nan, 'a\\n': -inf}"
    assert found.metrics_total == 4
    assert {path: tuple(file) for path, file in found.files.items()} == {"a": (1, SHA256), "sub/ö": (1, SHA256)}
    assert read(b'{"result": "failed"}').files == {}
    assert (read(b'{"result": "failed"}').model, read(b'{"result": "failed"}').notes) == (None, ())
    assert read({"files": [FILE]}, files=False).files == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not a mapping"),
        (b"{}", "result: Field required"),
        (b'{"result": "completed"', "not JSON"),
        (b'{"result": "completed"} x', "not JSON"),
        (b'{"result": "completed", "reason": "\xff"}', "not JSON"),
        (b'{"result": "won"}', "result: "),
        (b'{"result": ["completed"]}', "result: Field required"),
        ({"exit_code": "a"}, "exit_code: "),
        ({"metrics": []}, "metrics: is not a mapping"),
        ({"metrics": {"loss": "low"}}, "metrics.loss: is not a number"),
        ({"metrics": {"loss": None}}, "metrics.loss: is not a number"),
        ({"metrics": {"loss": [1]}}, "metrics.loss: is not a number"),
        ({"model": 1}, "model: "),
        ({"model_reason": True}, "model_reason: "),
        ({"notes": "text"}, "notes: is not a list"),
        ({"notes": ["one", 2]}, "notes: is not a list of strings"),
        ({"notes": [["one"]]}, "notes: is not a list of strings"),
        ({"files": {}}, "files: is not a list"),
        ({"files": [FILE, "b"]}, "files[1]: is not a mapping"),
        ({"files": [FILE, {}]}, "files[1]: its path"),
        ({"files": [{**FILE, "path": "x" * 1025}]}, "at most 1024 characters"),
        ({"files": [{**FILE, "path": ["a"]}]}, "files[0]: its path"),
        ({"files": [{**FILE, "size": -1}]}, "files[0]: its size"),
        ({"files": [{**FILE, "size": 1.5}]}, "files[0]: its size"),
        ({"files": [{**FILE, "size": "1"}]}, "files[0]: its size"),
        ({"files": [{**FILE, "sha256": "x"}]}, "files[0]: its sha256"),
        ({"files": [{**FILE, "sha256": SHA256.upper()}]}, "files[0]: its sha256"),
    ],
)
def test_what_no_job_writes_is_refused_with_its_place(document: bytes | dict[str, Any], reason: str) -> None:
    told = refusal(document)
    assert told.startswith("azureml/outputs/.kedja-manifest.json is not a job's result: ")
    assert reason in told
    assert len(told) < 400


def test_a_result_that_is_too_long_is_refused_as_such() -> None:
    assert "has more than 32 MiB; put small files into archives" in refusal(b" " * (LIMIT + 1))


HOSTILE = {
    "short files": filled(DONE + ',"files":[', '{"path":"ab","size":1,"sha256":"x"}', "]}", 512 << 10),
    "empty files": filled(DONE + ',"files":[', "{}", "]}"),
    "metrics": filled(DONE + ',"metrics":{', '"#":1', "}}", 512 << 10),
    "numbers": filled(DONE + ',"more":[', "0", "]}"),
    "lists": filled(DONE + ',"more":[', "[]", "]}"),
    "notes": filled(DONE + ',"notes":[', '"abc"', "]}"),
    "texts": filled(DONE + ',"more":[', '"abc"', "]}"),
    "keys": filled(DONE + ",", '"#":1', "}"),
    "a list in the place of a file": filled(DONE + ',"files":[[', "[]", "]]}"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_result_takes_many_times_its_size(kind: str) -> None:
    blobs = MemoryBlobs(VirtualClock())
    blobs.upload("azureml", "outputs/.kedja-manifest.json", HOSTILE[kind])
    tracemalloc.start()
    try:
        with contextlib.suppress(UnreadableResult):
            JobResult.read(blobs, OUTPUTS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(HOSTILE[kind])


class Counted(bytes):
    """A document that counts how many bytes of it are read."""

    parsed = 0

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - as its base
        piece = super().__getitem__(key)
        self.parsed += len(piece)
        return piece


@pytest.mark.parametrize(
    ("head", "piece", "size", "most"),
    [
        (',"files":[', '{"path":"ab","size":1,"sha256":"x"},', MIB, 64 << 10),
        (',"files":[', "{},", MIB, 64 << 10),
        (',"more":', "[", MIB, 64 << 10),
        (',"more":[', "0,", 32 * MIB, 14 * MIB),
        (',"reason":"', "x", 8 * MIB, 3 * MIB),
        ("", " ", 8 * MIB, 3 * MIB),
        (',"more":', "9", 8 * MIB, 3 * MIB),
    ],
    ids=["short files", "empty files", "lists in lists", "numbers", "a text", "white space", "a number"],
)
def test_a_hostile_result_is_read_no_further_than_its_first_mistake(
    head: str, piece: str, size: int, most: int
) -> None:
    document = Counted((DONE + head + piece * (size // len(piece) - 20)).encode())
    with pytest.raises(Malformed):
        read_result(document, ("result",), limit=LIMIT)
    assert document.parsed <= most


def test_two_hundred_thousand_honest_files_are_read() -> None:
    document = result(200_000)
    assert len(document) < LIMIT
    found = read_result(document, ("result",), limit=LIMIT)
    assert len(found.files) == 200_000
    assert found.files["model.npz"] == (7, SHA256)


def test_of_too_many_metrics_the_first_are_kept_and_the_one_that_the_gate_names() -> None:
    metrics = {f"metric {number:06}": number for number in range(MOST_METRICS + 500)}
    found = read({"metrics": metrics, "files": [FILE]}, metric="metric 020400")
    assert len(found.metrics) == MOST_METRICS + 1
    assert (found.metrics["metric 000000"], found.metrics["metric 020400"]) == (0, 20_400)
    assert found.metrics_total == len(metrics)
    assert "a" in found.files
    told = truncate_metrics(found.metrics, "metric 020400", total=found.metrics_total)
    assert (next(iter(told["metrics"])), told["metrics_total"]) == ("metric 020400", len(metrics))


def test_of_too_many_notes_the_first_are_kept_and_of_long_ones_the_beginning() -> None:
    found = read({"notes": ["x" * 10_000, *map(str, range(100))], "model_reason": "r" * 10_000})
    assert found.notes == ("x" * LONGEST_NOTE, *map(str, range(MOST_NOTES - 1)))
    assert found.model_reason == "r" * LONGEST_REASON


def test_shortening_metrics_writes_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = {f"metric {number:05}": number / 7 for number in range(2000)}
    written: list[str] = []

    def dumps(value: object) -> str:
        written.append(json.dumps(value))
        return written[-1]

    monkeypatch.setattr(lineage, "json", type("Json", (), {"dumps": staticmethod(dumps)}))
    text = metrics_property(metrics)
    assert sum(map(len, written)) < 3 * len(json.dumps(metrics))
    assert lineage.LONGEST_VALUE - 60 < len(text) <= lineage.LONGEST_VALUE
    assert set(json.loads(text).items()) < set(metrics.items())

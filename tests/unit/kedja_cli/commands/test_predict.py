import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kedja_cli.errors import Exit
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService
from tests.unit.kedja_cli.fake_storage import FakeStorage
from tests.unit.kedja_cli.scoring import packages

ROWS = np.array([[0, 0.5, 1], [1, 0, 0.25]], np.float32)


def serve(service: FakeService, storage: FakeStorage, package: Path, *, path: str = "package") -> None:
    """Serve a folder as the champion of the model `sums`, with a file beside the package."""
    files = {f"{path}/{file.name}": file.read_bytes() for file in package.iterdir() if file.is_file()}
    files |= {"log.txt": b"log", f"{path}/weights/model.npz": b"weights"}
    storage.blobs |= {f"/models/sums/3/{name}": content for name, content in files.items()}
    items = [
        {
            "path": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "md5": None,
            "url": f"https://storage.test/models/sums/3/{name}?sig=x",
        }
        for name, content in files.items()
    ]
    manifest = {"model": "sums", "model_version": "3", "path": path, "champion": True}
    service.routes["GET /api/models/sums/champion"] = service.routes["GET /api/models/sums/3"] = manifest
    service.routes["GET /api/models/sums/3/files"] = {"model": "sums", "version": "3", "items": items, "next": None}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "rows.npy"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    return packages.described(folder, packages.scores(folder, "first", factor=-1), packages.scores(folder))


def predicted(run: Run, *words: object) -> Any:  # noqa: ANN401 - JSON
    result = run("predict", *words, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("reference", ["sums", "sums@champion", "sums:3"])
def test_the_answer_has_the_classes_by_name(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, rows: Path, reference: str
) -> None:
    serve(service, storage, package)
    document = predicted(run, reference, rows)
    assert {key: document[key] for key in ("model", "version", "network", "verified", "count")} == {
        "model": "sums",
        "version": "3",
        "network": "model",
        "verified": True,
        "count": 2,
    }
    assert [one["class"] for one in document["predictions"]] == ["yes", "no"]
    assert document["predictions"][0]["scores"] == pytest.approx({"no": -2.75, "yes": 1.25})


def test_another_network_is_chosen_by_its_name(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, rows: Path
) -> None:
    serve(service, storage, package)
    document = predicted(run, "sums", rows, "--network", "first")
    assert (document["network"], [one["class"] for one in document["predictions"]]) == ("first", ["no", "yes"])
    result = run("predict", "sums", rows, "--network", "other")
    assert result.exit_code == Exit.USAGE
    assert "Choose one of: first, model." in result.stderr


def test_people_see_a_line_for_each_example(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, tmp_path: Path
) -> None:
    serve(service, storage, package)
    np.savez(tmp_path / "rows.npz", x=ROWS, y=np.array([1, 1]))
    result = run("predict", "sums", "rows.npz")
    assert result.stdout == "0\tyes\tyes 1.25  no -2.75\n1\tno\tno 0.25  yes -0.9375\n"
    assert "accuracy 0.5000 on 2 examples" in result.stderr


def test_the_package_is_downloaded_once_without_its_weights(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, rows: Path, tmp_path: Path
) -> None:
    serve(service, storage, package)
    predicted(run, "sums", rows)
    fetched = len(storage.requests)
    assert fetched == 3
    predicted(run, "sums", rows)
    assert len(storage.requests) == fetched
    cache = tmp_path / "home/models/sums-3"
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        "first.onnx",
        "input.json",
        "model.onnx",
    ]


def test_a_changed_file_is_not_loaded(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, rows: Path, tmp_path: Path
) -> None:
    serve(service, storage, package)
    predicted(run, "sums", rows)
    kept = tmp_path / "home/models/sums-3/package/model.onnx"
    right = kept.read_bytes()
    kept.write_bytes(right[:-1] + b"x")
    assert predicted(run, "sums", rows)["predictions"][0]["class"] == "yes"
    assert kept.read_bytes() == right
    kept.unlink()
    storage.blobs["/models/sums/3/package/model.onnx"] = b"x" * len(right)
    result = run("predict", "sums", rows)
    assert result.exit_code == Exit.FAILED
    assert "model.onnx is not what its manifest says" in result.stderr


def test_a_model_without_a_network_says_where_the_reason_is(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, rows: Path
) -> None:
    (package / "input.json").unlink()
    serve(service, storage, package)
    result = run("predict", "sums", rows)
    assert result.exit_code == Exit.FAILED
    assert "sums:3 has no ONNX network" in result.stderr
    assert "MODEL_CARD.md" in result.stderr
    assert storage.requests == []


def test_an_unverified_network_is_named(
    run: Run, service: FakeService, storage: FakeStorage, rows: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    serve(service, storage, packages.described(folder, packages.scores(folder, verified=False)))
    result = run("predict", "sums", rows)
    assert result.exit_code == 0
    assert "model is not verified" in result.stderr


def test_what_is_refused_can_be_forced_for_its_range_alone(
    run: Run, service: FakeService, storage: FakeStorage, package: Path, tmp_path: Path
) -> None:
    serve(service, storage, package)
    np.save(tmp_path / "rows.npy", ROWS * 255)
    assert run("predict", "sums", "rows.npy").exit_code == Exit.FAILED
    assert predicted(run, "sums", "rows.npy", "--any-range")["count"] == 2
    np.save(tmp_path / "rows.npy", (ROWS * 255).astype(np.uint8))
    assert run("predict", "sums", "rows.npy", "--any-range").exit_code == Exit.FAILED

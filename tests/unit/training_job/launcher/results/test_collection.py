import os
import shutil
from pathlib import Path

import pytest

from tests.unit.training_job.launcher.results.ended_scripts import EndedScript, write
from training_job.launcher.results import collection, saved_files
from training_job.launcher.results.collection import Collection


@pytest.fixture
def script(tmp_path: Path) -> EndedScript:
    return EndedScript.begin(tmp_path)


def collect(script: EndedScript, *first: Path, limit: int = collection.MOST_BYTES) -> Collection:
    saved = saved_files.find(script.saved, [script.job.folder, *script.outs])
    return collection.collect(script.job, saved, script.outs, first, limit=limit)


def test_saved_files_keep_their_paths_and_are_hard_links(script: EndedScript) -> None:
    path = script.save("deep/er/net.model")
    script.write("deep/er/other.txt")
    script.write("other.txt")
    assert collect(script).notes == []
    assert script.outputs == ["deep/er/net.model"]
    assert (script.job.outputs / "deep/er/net.model").samefile(path)


def test_what_was_written_beside_the_model_comes_with_it(tmp_path: Path) -> None:
    script = EndedScript.begin(tmp_path, {"train.py": b"", "model/README": b"dropped"})
    script.save("model/old/net.npz")
    model = script.save("model/net.npz")
    for name in ("model/vocab.json", "model/old/vocab.json", "vocab.json"):
        script.write(name)
    collect(script, model)
    assert script.outputs == ["model/net.npz", "model/old/net.npz", "model/vocab.json"]


def test_nothing_is_collected_from_beside_a_model_in_the_working_directory(script: EndedScript) -> None:
    script.write("cache.bin")
    collect(script, script.save("net.npz"))
    assert script.outputs == ["net.npz"]


def test_all_files_of_a_trainers_folder_are_collected(script: EndedScript) -> None:
    for name in ("result/log", "result/plots/loss.png", "result/.hidden", "results/other"):
        script.write(name)
    script.outs[script.job.folder / "result"] = True
    collect(script)
    assert script.outputs == ["result/.hidden", "result/log", "result/plots/loss.png"]


def test_scripts_are_not_collected_from_a_trainer_that_writes_beside_them(tmp_path: Path) -> None:
    script = EndedScript.begin(tmp_path, {"train.py": b"", "helpers/net.py": b"", "pretrained.npz": b"w"})
    for name in ("log", "helpers/__pycache__/net.pyc", ".kedja/packages/six.py", "logs/stdout"):
        script.write(name)
    script.outs[script.job.folder] = False
    collect(script)
    assert script.outputs == ["log", "logs/stdout"]


def test_nothing_of_the_data_and_of_kedja_is_collected(script: EndedScript, tmp_path: Path) -> None:
    script.save("../data/model.npz")
    script.save(".kedja/model.npz")
    (script.job.data_links / "weights").mkdir(parents=True)
    (script.job.data_links / "weights/dropped.npz").symlink_to(tmp_path / "data/model.npz")
    script.save(".kedja/data/weights/dropped.npz")
    script.outs |= {tmp_path / "data": True, script.job.data_links: False}
    collect(script)
    assert script.outputs == []


def test_a_model_that_was_saved_among_the_data_is_collected(script: EndedScript) -> None:
    script.save(".kedja/data/weights/net.npz")
    script.write(".kedja/data/weights/cache")
    collect(script)
    assert script.outputs == ["weights/net.npz"]


def test_a_folder_elsewhere_is_collected_only_if_it_was_new(script: EndedScript, tmp_path: Path) -> None:
    write(tmp_path / "new/log", b"")
    write(tmp_path / "shared/somebody's", b"")
    script.save("../shared/net.npz")
    script.save("../alone/net.npz")
    script.outs |= {tmp_path / "new": True, tmp_path / "shared": False}
    collect(script)
    assert script.outputs == ["alone/net.npz", "new/log", "shared/net.npz"]


def test_files_in_outputs_stay_as_they_are(script: EndedScript) -> None:
    for number in range(5):
        script.save(f"outputs/model_{number}.npz")
    script.write("outputs/result/log", b"the script's own")
    script.write("result/log", b"another")
    script.outs[script.job.folder / "result"] = True
    found = collect(script)
    assert script.outputs == [*(f"model_{number}.npz" for number in range(5)), "result/log"]
    assert (script.job.outputs / "result/log").read_bytes() == b"the script's own"
    assert (found.files, found.notes) == ({}, [])


def test_of_a_numbered_series_of_models_the_last_three_are_collected(script: EndedScript) -> None:
    for number in (1, 2, 9, 10, 11):
        script.save(f"result/model_iter_{number}")
        script.write(f"result/state_{number}.npz")
        script.write(f"result/image_{number}.png")
    script.outs[script.job.folder / "result"] = True
    first = script.job.folder / "result/model_iter_1"
    assert collect(script, first).notes == [
        "Of the 5 files result/model_iter_*, the last 3 were collected.",
        "Of the 5 files result/state_*.npz, the last 3 were collected.",
    ]
    kept = {"model_iter_": (1, 9, 10, 11), "state_": (9, 10, 11), "image_": (1, 2, 9, 10, 11)}
    assert {name.removeprefix("result/").partition(".")[0] for name in script.outputs} == {
        f"{name}{number}" for name, numbers in kept.items() for number in numbers
    }


def test_beyond_the_limit_of_bytes_the_largest_files_are_left_out_but_the_model(script: EndedScript) -> None:
    model = script.save("result/big.npz", content=b"m" * 5000)
    for name, size in (("huge", 4000), ("log", 10), ("plot.png", 900)):
        script.write(f"result/{name}", b"x" * size)
    script.outs[script.job.folder / "result"] = True
    (note,) = collect(script, model, limit=6000).notes
    assert script.outputs == ["result/big.npz", "result/log", "result/plot.png"]
    assert note.startswith("Not collected, as the limit is 10,000 files and ")
    assert note.endswith(" GiB: result/huge. Write to outputs what is to be kept.")


def test_beyond_the_limit_of_files_the_rest_is_left_out(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MOST_FILES", 2)
    for number in range(9):
        script.write(f"result/{number}.txt")
    script.outs[script.job.folder / "result"] = True
    (note,) = collect(script).notes
    assert len(script.outputs) == 2
    assert note.startswith("Not collected, as the limit is 2 files and 4 GiB: ")
    assert " and 2 more" in note


def test_across_disks_files_are_copied(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    path = script.save("net.npz")
    collect(script)
    copy = script.job.outputs / "net.npz"
    assert not copy.samefile(path)
    assert copy.read_bytes() == path.read_bytes()


def test_a_file_that_cannot_be_read_is_named_and_keeps_no_other_back(
    script: EndedScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, place: Path) -> None:
        if path.name == "one.npz":
            raise OSError(28, "No space left on device")
        place.write_bytes(path.read_bytes())

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(shutil, "copy2", refuse)
    script.save("one.npz")
    script.save("two.npz", number=2)
    assert collect(script).notes == ["one.npz could not be collected: No space left on device."]
    assert script.outputs == ["two.npz"]


def test_a_later_start_of_the_job_collects_anew(script: EndedScript) -> None:
    script.outs[script.job.folder / "result"] = True
    script.write("result/log", b"first")
    script.write("result/old.txt")
    found = collect(script)
    collection.remember_collected(script.job, found.files.values())
    (script.job.folder / "result/old.txt").unlink()
    (script.job.folder / "result/log").unlink()
    script.write("result/log", b"second")
    script.write("outputs/own.txt")

    collection.remove_earlier(script.job)
    EndedScript.begin(script.job.folder.parent)  # scripts are copied again
    collect(script)

    assert script.outputs == ["own.txt", "result/log"]
    assert (script.job.outputs / "result/log").read_bytes() == b"second"


def test_what_was_written_is_told_from_what_was_there(script: EndedScript) -> None:
    script.write("a.txt")
    script.write("outputs/b.txt")
    script.write("train.py", b"changed")
    assert collection.written(script.job) == [script.job.folder / "a.txt"]

from pathlib import Path

import pytest

from tests.unit.training_job.launcher.results.ended_scripts import EndedScript, archive
from training_job import mpi_env
from training_job.launcher.results import collection, gathering
from training_job.launcher.results.gathering import FoundModel
from training_job.launcher.results.saved_files import Kind
from training_job.launcher.run_log import MOST_NOTES, Records

SNAPSHOT = archive({"updater/model:main/fc/W.npy": b"w", "updater/optimizer:main/t.npy": b"1"})


@pytest.fixture
def script(tmp_path: Path) -> EndedScript:
    return EndedScript.begin(tmp_path)


def gather(script: EndedScript, *, completed: bool = True) -> FoundModel:
    records = Records()
    records.saved.extend(script.saved)
    records.outs.update(script.outs)
    return gathering.gather(script.job, records, completed=completed)


def test_the_scripts_own_model_comes_first(script: EndedScript) -> None:
    script.write("outputs/model.npz", archive())
    script.save("result/later.npz")
    assert gather(script) == FoundModel("model.npz", "The model is outputs/model.npz: the script wrote it.")


def test_else_the_link_that_was_saved_last(script: EndedScript) -> None:
    for step, name in enumerate(("net_1", "net_2", "net_3")):
        script.save(f"result/{name}", step=step)
    script.save("result/snap", "Trainer", kind=Kind.SNAPSHOT, content=SNAPSHOT, step=2)
    assert gather(script) == FoundModel(
        "result/net_3", "The model is outputs/result/net_3: the script saved this Link last (Net)."
    )


def test_a_link_that_was_saved_to_outputs_stays_there(script: EndedScript) -> None:
    script.save("outputs/best.model")
    script.write("outputs/other.npz", archive())
    assert gather(script).path == "best.model"
    assert script.outputs == ["best.model", "other.npz"]


def test_outputs_may_be_a_link_to_another_folder(script: EndedScript, tmp_path: Path) -> None:
    script.job.outputs.rmdir()
    (tmp_path / "mounted").mkdir()
    script.job.outputs.symlink_to(tmp_path / "mounted")
    script.save("outputs/sub/best.model")
    script.write("outputs/other.npz", archive())
    assert gather(script).path == "sub/best.model"
    assert sorted(path.name for path in (tmp_path / "mounted").iterdir()) == ["other.npz", "sub"]
    script.save("outputs/tmp").rename(script.job.outputs / "renamed")
    assert gather(script).path == "renamed"


def test_of_several_links_the_one_with_a_predictor(script: EndedScript) -> None:
    script.save("classifier.npz", "Classifier", number=1, has_predictor=True)
    script.save("teacher.npz", "Net", number=2)
    assert gather(script).path == "classifier.npz"


@pytest.mark.parametrize("is_whole_first", [True, False])
def test_of_a_link_and_its_part_the_whole(script: EndedScript, is_whole_first: bool) -> None:  # noqa: FBT001
    if is_whole_first:
        script.save("whole.npz", number=1)
        script.save("part.npz", number=2, held_by=frozenset({1}))
    else:
        script.save("part.npz", number=2)
        script.save("whole.npz", number=1, holds=frozenset({2}))
    assert gather(script).path == "whole.npz"


def test_the_networks_of_a_gan_become_a_folder(script: EndedScript) -> None:
    for step in range(5):
        script.save(f"result/gen_{step}.npz", "Generator", step=step, number=1)
        script.save(f"result/dis_{step}.npz", "Discriminator", step=step, number=2)
    found = gather(script)
    assert found == FoundModel(
        "model", "The model is folder outputs/model: the script saved several Links last (Generator, Discriminator)."
    )
    assert [name for name in script.outputs if name.startswith("model/")] == ["model/dis_4.npz", "model/gen_4.npz"]
    assert (script.job.outputs / "model/gen_4.npz").samefile(script.job.folder / "result/gen_4.npz")


def test_a_folder_of_their_own_is_taken_as_it_is(script: EndedScript) -> None:
    script.save("run/10/encoder.npz", "Encoder", step=1, number=1)
    script.save("run/10/decoder.npz", "Decoder", step=1, number=2)
    script.save("run/20_finish/encoder.npz", "Encoder", step=2, number=1)
    script.save("run/20_finish/decoder.npz", "Decoder", step=2, number=2)
    assert gather(script).path == "run/20_finish"


def test_equal_names_in_a_new_folder_are_told_apart(script: EndedScript) -> None:
    script.write("outputs/model/own.txt")
    script.save("gen/net.npz", "Generator", number=1)
    script.save("dis/net.npz", "Discriminator", number=2)
    assert gather(script).path == "model2"
    assert [name for name in script.outputs if name.startswith("model2")] == [
        "model2/dis-net.npz",
        "model2/gen-net.npz",
    ]


def test_links_of_earlier_steps_and_of_other_processes_do_not_count(script: EndedScript) -> None:
    script.save("pretrained.npz", "AutoEncoder", step=1, number=1)
    script.save("worker.npz", "Net", step=2, number=2, process=77)
    script.save("final.npz", "Net", step=2, number=3)
    assert gather(script).path == "final.npz"


def test_one_link_in_several_files_is_its_last_archive(script: EndedScript) -> None:
    script.save("best.npz")
    script.save("last.npz")
    script.save("last.h5", kind=Kind.HDF5)
    script.save("last.pkl", kind=Kind.PICKLE, content=b"pickle")
    assert gather(script).path == "last.npz"


def test_pickled_objects_of_one_series_are_one(script: EndedScript) -> None:
    for epoch in range(3):
        script.save(f"net{epoch}.pkl", "dict", kind=Kind.PICKLE, number=0, content=b"pickle")
    assert gather(script).path == "net2.pkl"


def test_the_only_archive_that_the_script_wrote_to_outputs_comes_before_a_snapshot(script: EndedScript) -> None:
    script.write("outputs/weights.npz", archive())
    script.save("result/snap.npz", "Trainer", kind=Kind.SNAPSHOT, content=SNAPSHOT)
    assert gather(script) == FoundModel(
        "weights.npz", "The model is outputs/weights.npz: it is the only .npz file there."
    )


@pytest.mark.parametrize("name", ["result/snapshot_iter_20", "result/snapshot_iter_20.npz", "outputs/snap.npz"])
def test_a_snapshot_is_taken_apart_for_its_model(script: EndedScript, name: str) -> None:
    script.save("result/snapshot_iter_10", "Trainer", kind=Kind.SNAPSHOT, content=SNAPSHOT)
    script.save(name, "Trainer", kind=Kind.SNAPSHOT, content=SNAPSHOT)
    path = f"{name.removeprefix('outputs/').removesuffix('.npz')}-model.npz"
    assert gather(script) == FoundModel(
        path, f"The model is outputs/{path}: it is the model in the Trainer's last snapshot, {name}."
    )
    assert path in script.outputs


def test_a_snapshot_of_two_networks_is_a_folder(script: EndedScript) -> None:
    names = {"updater/model:gen/W.npy": b"g", "updater/model:dis/W.npy": b"d"}
    script.save("result/snap", "Trainer", kind=Kind.SNAPSHOT, content=archive(names))
    found = gather(script)
    assert found.path == "result/snap-model"
    assert "it has the 2 models in the Trainer's last snapshot" in str(found.reason)
    assert {"result/snap-model/gen.npz", "result/snap-model/dis.npz"} < set(script.outputs)


def test_the_only_archive_in_a_trainers_folder_is_last(script: EndedScript) -> None:
    script.write("result/weights.npz", archive())
    script.outs[script.job.folder / "result"] = True
    assert gather(script).path == "result/weights.npz"


def test_without_a_model_the_reason_lists_what_was_written_elsewhere(script: EndedScript) -> None:
    for number in range(23):
        script.write(f"weights/{number:02}.bin")
    found = gather(script)
    assert found.path is None
    assert str(found.reason).startswith(
        "The script saved no Link, and outside of outputs it wrote: weights/00.bin, weights/01.bin, "
    )
    assert str(found.reason).endswith("weights/19.bin and 3 more.")


def test_without_any_file_the_reason_says_so(script: EndedScript) -> None:
    script.write("outputs/one.npz")
    script.write("outputs/two.npz")
    assert gather(script) == FoundModel(None, "The script saved no Link, and wrote nothing outside of outputs.")


def test_a_link_that_is_gone_is_named(script: EndedScript) -> None:
    script.save("tmp/net.npz").unlink()
    assert gather(script).reason == ("The script saved a Link to tmp/net.npz, where no complete file is any more.")


def test_a_failed_script_has_its_files_and_no_model(script: EndedScript) -> None:
    script.save("result/net.npz")
    script.save("result/snap", "Trainer", kind=Kind.SNAPSHOT, content=SNAPSHOT)
    assert gather(script, completed=False) == FoundModel()
    assert script.outputs == ["result/net.npz", "result/snap"]


def test_other_ranks_models_count_only_without_one_of_the_first(
    script: EndedScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpi_env, "size", lambda: 2)
    path = script.save("rank1.npz", process=2, step=9)
    record = {"path": str(path), "kind": "npz", "link": "Net", "has_predictor": False, "process": 2, "step": 9}
    script.saved.clear()
    document = str({"saved": {**record, "object": 1, "holds": [], "held_by": []}}).replace("'", '"')
    script.job.records(1).write_text(document.replace("False", "false") + "\n")
    assert gather(script).path == "rank1.npz"
    script.save("rank0.npz")
    assert gather(script).path == "rank0.npz"


def test_an_error_ends_no_job(script: EndedScript, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(collection, "collect", refuse)
    records = Records()
    assert gathering.gather(script.job, records, completed=True) == FoundModel()
    assert records.notes == [
        "What the script left outside of outputs could not be collected: [Errno 13] Permission denied"
    ]
    records.notes = [str(number) for number in range(MOST_NOTES)]
    records.note("more")
    assert len(records.notes) == MOST_NOTES

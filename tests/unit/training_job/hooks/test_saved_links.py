import io
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainer
import cloudpickle  # type: ignore[import-untyped]  # it has none
import joblib  # type: ignore[import-untyped]  # it has none
import numpy as np
import pytest
from chainer import links, optimizers, serializers, training
from chainer.serializers import hdf5, npz
from chainer.training import extensions

from training_job.hooks import saved_links

Records = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def saved(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    """Return what reads the records of saved files. The working directory is a temporary one."""
    monkeypatch.chdir(tmp_path)
    saved_links.install()
    return lambda: [record["saved"] for record in records() if "saved" in record]


class Encoder(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
    def __init__(self) -> None:
        super().__init__(fc=links.Linear(2, 2))

    def forward(self, x: Any) -> Any:  # noqa: ANN401 - Chainer has no types
        return self.fc(x)


class Holder:
    def __init__(self, net: object) -> None:
        self.net = net


def trainer(model: Any, out: str = "result", epochs: int = 1) -> training.Trainer:  # noqa: ANN401 - Chainer has no types
    optimizer = optimizers.SGD().setup(model)
    data: list[Any] = [(np.ones(2, "f"), np.int32(1))] * 4
    updater = training.StandardUpdater(chainer.iterators.SerialIterator(data, 2), optimizer)
    return training.Trainer(updater, (epochs, "epoch"), out=out)


def test_a_link_is_recorded_with_its_file_and_class(saved: Records, tmp_path: Path) -> None:
    npz.save_npz("sub.model", links.Classifier(Encoder()))
    (record,) = saved()
    status = (tmp_path / "sub.model").stat()
    assert record["path"] == str(tmp_path / "sub.model")
    assert (record["kind"], record["link"], record["has_predictor"]) == ("npz", "Classifier", True)
    assert record["file"] == [status.st_dev, status.st_ino]
    assert (record["size"], record["modified"]) == (status.st_size, status.st_mtime_ns)


def save_to_open_file(link: chainer.Link) -> None:
    with Path("a.npz").open("wb") as stream:
        npz.save_npz(stream, link)


def save_to_temporary_file(link: chainer.Link) -> None:
    with tempfile.NamedTemporaryFile(dir=".", delete=False) as stream:
        npz.save_npz(stream, link)
    Path(stream.name).rename("a.npz")


def use_hdf5_serializer(link: chainer.Link) -> None:
    with hdf5.h5py.File("a.h5", "w") as file:
        hdf5.HDF5Serializer(file).save(link)


def pickle_to_open_file(obj: object) -> None:
    with Path("a.pkl").open("wb") as stream:
        pickle.dump(obj, stream)


def cloudpickle_to_open_file(obj: object) -> None:
    with Path("a.pkl").open("wb") as stream:
        cloudpickle.cloudpickle.dump(obj, stream)


SAVES: dict[str, tuple[Callable[[chainer.Link], object], str, str]] = {
    "save_npz": (lambda link: npz.save_npz(file="a.npz", obj=link, compression=False), "npz", "Encoder"),
    "save_npz to a Path": (lambda link: npz.save_npz(Path("a"), link), "npz", "Encoder"),
    "save_npz to an open file": (save_to_open_file, "npz", "Encoder"),
    "save_npz to a temporary file": (save_to_temporary_file, "npz", "Encoder"),
    "save_hdf5": (lambda link: hdf5.save_hdf5("a.h5", link), "hdf5", "Encoder"),
    "HDF5Serializer": (use_hdf5_serializer, "hdf5", "Encoder"),
    "pickle": (pickle_to_open_file, "pickle", "Encoder"),
    "pickle of a dict": (lambda link: pickle_to_open_file({"epoch": 1, "net": link}), "pickle", "dict"),
    "pickle of a tuple": (lambda link: pickle_to_open_file((1, link)), "pickle", "tuple"),
    "pickle of an object": (lambda link: pickle_to_open_file(Holder(link)), "pickle", "Holder"),
    "joblib": (lambda link: joblib.numpy_pickle.dump(link, "a.joblib"), "pickle", "Encoder"),
    "cloudpickle": (cloudpickle_to_open_file, "pickle", "Encoder"),
}


@pytest.mark.parametrize("way", SAVES)
def test_each_way_of_saving_a_link_is_recorded_once(saved: Records, way: str) -> None:
    save, kind, name = SAVES[way]
    save(Encoder())
    (record,) = saved()
    assert (record["kind"], record["link"]) == (kind, name)
    (file,) = Path.cwd().glob("a*")
    assert record["file"] == [file.stat().st_dev, file.stat().st_ino]
    if "size" in record:
        assert (record["size"], record["modified"]) == (file.stat().st_size, file.stat().st_mtime_ns)


@pytest.mark.parametrize(
    "save",
    [
        lambda model, _: npz.save_npz(io.BytesIO(), model),
        lambda _, optimizer: npz.save_npz("state.npz", optimizer),
        lambda _, optimizer: pickle_to_open_file(optimizer),
        lambda *_: pickle_to_open_file({"epoch": 3}),
        lambda *_: npz.save_npz("a.npz", {"x": np.ones(2)}),
    ],
    ids=["in memory", "an optimizer", "a pickled optimizer", "a pickled dict", "arrays"],
)
def test_nothing_else_is_recorded(saved: Records, save: Callable[[Any, Any], object]) -> None:
    model = Encoder()
    save(model, optimizers.Adam().setup(model))
    assert saved() == []


def test_a_failed_save_is_an_error_as_before_and_is_not_recorded(saved: Records) -> None:
    with pytest.raises(FileNotFoundError):
        npz.save_npz("missing/a.npz", Encoder())
    npz.save_npz("a.npz", Encoder())
    assert [Path(record["path"]).name for record in saved()] == ["a.npz"]


def test_an_object_with_hostile_attributes_is_saved_all_the_same(saved: Records) -> None:
    class Hostile(Encoder):
        @property
        def predictor(self) -> chainer.Link:
            raise ValueError

    npz.save_npz("a.npz", Hostile())
    assert Path("a.npz").exists()
    assert [record["has_predictor"] for record in saved()] == [False]


def test_a_trainers_snapshots_and_links_and_folder_are_recorded(saved: Records, records: Records) -> None:
    model = links.Classifier(Encoder())
    run = trainer(model)
    run.extend(extensions.snapshot(filename="snapshot_iter_{.updater.iteration}"))
    run.extend(extensions.snapshot_object(model, "model_{.updater.iteration}.npz"))
    run.run()
    by_name = {Path(record["path"]).relative_to(Path.cwd()).as_posix(): record for record in saved()}
    assert by_name.keys() == {"result/snapshot_iter_2", "result/model_2.npz"}
    assert by_name["result/snapshot_iter_2"]["kind"] == "snapshot"
    assert (by_name["result/model_2.npz"]["kind"], by_name["result/model_2.npz"]["link"]) == ("npz", "Classifier")
    assert {"out": str(Path("result").absolute()), "is_new": True} in records()


@pytest.mark.parametrize("writer", ["ThreadWriter", "ProcessWriter"])
def test_a_snapshot_that_is_written_later_is_recorded_by_its_name(saved: Records, writer: str) -> None:
    run = trainer(links.Classifier(Encoder()))
    run.extend(extensions.snapshot(filename="snap", writer=getattr(extensions.snapshot_writers, writer)()))
    run.run()
    (record,) = saved()
    assert (record["path"], record["kind"]) == (str(Path("result/snap").absolute()), "snapshot")
    assert Path("result/snap").exists()


def test_a_trainer_saved_by_hand_is_a_snapshot(saved: Records) -> None:
    run = trainer(links.Classifier(Encoder()))
    run.run()
    npz.save_npz("state", run)
    npz.save_npz("updater", run.updater)
    assert [record["kind"] for record in saved()] == ["snapshot", "snapshot"]


def test_saves_between_two_updates_are_at_the_same_step(saved: Records) -> None:
    one, two = links.Classifier(Encoder()), links.Classifier(Encoder())
    first, second = optimizers.SGD().setup(one), optimizers.SGD().setup(two)
    example: list[Any] = [np.ones((1, 2), "f"), np.zeros(1, "i")]
    for optimizer, model in ((first, one), (second, two)):
        optimizer.update(model, *example)
    npz.save_npz("one", one)
    npz.save_npz("two", two)
    first.update(one, *example)
    npz.save_npz("three", one)
    steps = [record["step"] for record in saved()]
    assert steps[0] == steps[1] < steps[2]
    numbers = [record["object"] for record in saved()]
    assert numbers[0] == numbers[2] != numbers[1]


def test_a_link_in_another_link_is_recorded_as_its_part(saved: Records) -> None:
    whole = links.Classifier(Encoder())
    npz.save_npz("part", whole.predictor)
    npz.save_npz("whole", whole)
    npz.save_npz("again", whole.predictor.fc)
    part, again_whole, inner = saved()
    assert again_whole["holds"] == [part["object"]]
    assert inner["held_by"] == [part["object"], again_whole["object"]]


def test_what_is_saved_can_be_loaded(saved: Records) -> None:
    model, other = Encoder(), Encoder()
    npz.save_npz("a.npz", model)
    serializers.load_npz("a.npz", other)
    assert np.array_equal(model.fc.W.array, other.fc.W.array)
    pickle_to_open_file(model)
    with Path("a.pkl").open("rb") as stream:
        assert np.array_equal(pickle.load(stream).fc.W.array, model.fc.W.array)  # noqa: S301 - written above

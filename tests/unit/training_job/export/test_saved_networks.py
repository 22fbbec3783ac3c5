import json
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chainer
import chainer.links as L  # noqa: N812 - as everyone writes it
import numpy as np
import onnx
import onnxruntime
import pytest
from chainer import serializers

from tests.unit.training_job.export import networks
from tests.unit.training_job.export.networks import export, export_saved, labels, pictures, rows
from training_job.export import saved_networks
from training_job.export.exports import ExportedNetwork, Exports
from training_job.export.saved_networks import SavedLink, SavedNetworks
from training_job.export.weights import Format


def the_network(found: Exports) -> ExportedNetwork:
    assert found.failures == ()
    (network,) = found.networks
    return network


def run(network: ExportedNetwork, *inputs: Any) -> list[Any]:  # noqa: ANN401 - arrays
    session = onnxruntime.InferenceSession(str(network.onnx), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    answer: list[Any] = session.run(None, dict(zip(names, inputs, strict=True)))
    return answer


def predicted(link: Any, *inputs: Any) -> Any:  # noqa: ANN401 - Chainer has no types
    with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003 - Chainer's signature
        return link(*inputs).array


def shapes(tensors: Sequence[Any]) -> list[tuple[str, tuple[int | str, ...]]]:
    return [(tensor.name, tensor.shape) for tensor in tensors]


def test_a_classifier_is_exported_as_its_predictor(tmp_path: Path) -> None:
    model = L.Classifier(networks.Mlp())
    model(rows(), labels())
    network = the_network(export(tmp_path, {"mlp.model": model}))
    assert (network.name, network.link, network.method, network.verified) == ("model", "Mlp", "forward", True)
    assert shapes(network.inputs) == [("x", ("N", 4))]
    assert shapes(network.outputs) == [("output", ("N", 3))]
    x = rows(9, seed=5)
    np.testing.assert_allclose(run(network, x)[0], predicted(model.predictor, x), rtol=1e-5, atol=1e-6)


def test_a_network_with_its_own_call_is_exported_in_test_mode(tmp_path: Path) -> None:
    model = networks.OldStyle()
    for _ in range(3):
        model(pictures())
    network = the_network(export(tmp_path, {"cnn.npz": model}))
    assert network.verified
    assert shapes(network.inputs) == [("x", ("N", 3, 8, 8))]
    assert network.inputs[0].low == pytest.approx(0, abs=0.01)
    x = pictures(2, seed=3)
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        np.testing.assert_allclose(run(network, x)[0], model(x, train=False).array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "outputs"), [(networks.OwnLoss, ("N", 3)), (networks.Regression, ("N",))])
def test_what_goes_into_a_loss_is_exported(tmp_path: Path, kind: type[Any], outputs: tuple[int | str, ...]) -> None:
    model = kind()
    t = labels() if kind is networks.OwnLoss else labels().astype("f")
    model(chainer.Variable(rows()), chainer.Variable(t))
    network = the_network(export(tmp_path, {"model.npz": model}))
    assert network.verified
    assert shapes(network.inputs) == [("x", ("N", 4))]
    assert [tensor.shape for tensor in network.outputs] == [outputs]
    x = rows(4, seed=2)
    y = model.l2(chainer.functions.tanh(model.l1(x))).array
    np.testing.assert_allclose(run(network, x)[0], y if kind is networks.OwnLoss else y.sum(1), rtol=1e-4, atol=1e-5)


def test_both_networks_of_a_gan_are_exported_for_any_batch(tmp_path: Path) -> None:
    gen, dis = networks.Generator(), networks.Discriminator()
    dis(gen(rows(6, 5)))
    found = export(tmp_path, {"gen_iter_100.npz": gen, "dis_iter_100.npz": dis})
    assert found.failures == ()
    assert [(one.name, one.onnx.name, one.verified) for one in found.networks] == [
        ("gen", "gen.onnx", True), ("dis", "dis.onnx", True),
    ]  # fmt: skip
    assert found.networks[0].parity == tmp_path / "export" / "gen-parity.json"
    for count in (1, 7):
        z = rows(count, 5, seed=count)
        (image,) = run(found.networks[0], z)
        np.testing.assert_allclose(image, predicted(gen, z), rtol=1e-4, atol=1e-5)
        assert run(found.networks[1], image)[0].shape == (count, 1)


def test_the_parts_of_a_link_that_only_has_a_loss_are_exported(tmp_path: Path) -> None:
    model = networks.Vae()
    model(rows())
    found = export(tmp_path, {"vae.npz": model})
    assert found.failures == ()
    networks_by_name = {one.name: one for one in found.networks}
    assert networks_by_name.keys() == {"encoder", "decoder"}
    assert all(one.verified for one in found.networks)
    assert shapes(networks_by_name["encoder"].outputs) == [("loc", ("N", 2)), ("scale", ("N", 2))]
    assert shapes(networks_by_name["decoder"].inputs) == [("z", (1, "N", 2))]


def test_each_method_that_predicts_is_exported(tmp_path: Path) -> None:
    model = networks.Methods()
    model.loss()(rows())
    found = export(tmp_path, {"vae.npz": model})
    assert found.failures == ()
    assert [(one.name, one.verified) for one in found.networks] == [("encode", True), ("decode", True)]
    assert shapes(found.networks[0].outputs) == [("output_0", ("N", 2)), ("output_1", ("N", 2))]


def test_the_saved_weights_are_exported_and_not_the_last_ones(tmp_path: Path) -> None:
    model = networks.Mlp()
    before = predicted(model, rows())
    serializers.save_npz(str(tmp_path / "model.npz"), model)
    model.l1.W.array[...] = 7
    saved = [SavedLink(link=model, path=tmp_path / "model.npz", format=Format.NPZ, name="model")]
    network = the_network(export_saved(tmp_path, saved))
    np.testing.assert_allclose(run(network, rows())[0], before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("saved_as", [Format.HDF5, Format.PICKLE])
def test_other_formats_are_read(tmp_path: Path, saved_as: Format) -> None:
    model = networks.Mlp()
    before = predicted(model, rows())
    if saved_as is Format.HDF5:
        serializers.save_hdf5(str(tmp_path / "saved"), model)
    else:
        (tmp_path / "saved").write_bytes(pickle.dumps(model))
    model.l1.W.array[...] = 7
    saved = [SavedLink(link=model, path=tmp_path / "saved", format=saved_as, name="saved")]
    network = the_network(export_saved(tmp_path, saved))
    np.testing.assert_allclose(run(network, rows())[0], before, rtol=1e-5, atol=1e-6)


def test_a_model_in_a_snapshot_is_read_by_its_prefix(tmp_path: Path) -> None:
    model = L.Classifier(networks.Mlp())
    model(rows(), labels())
    optimizer = chainer.optimizers.SGD().setup(model)
    iterator: Any = chainer.iterators.SerialIterator([(rows(1)[0], np.int32(0))], 1)
    trainer = chainer.training.Trainer(chainer.training.StandardUpdater(iterator, optimizer), (1, "iteration"))
    trainer.run()
    serializers.save_npz(str(tmp_path / "snapshot_iter_3"), trainer)
    before = predicted(model.predictor, rows())
    model.predictor.l1.W.array[...] = 7
    saved = list(saved_networks.parts_of_snapshot(trainer, tmp_path / "snapshot_iter_3"))
    network = the_network(export_saved(tmp_path, saved))
    np.testing.assert_allclose(run(network, rows())[0], before, rtol=1e-5, atol=1e-6)


def test_the_file_is_one_that_every_runtime_loads(tmp_path: Path) -> None:
    model = networks.OldStyle()
    model(pictures())
    file = onnx.load(str(the_network(export(tmp_path, {"cnn.npz": model})).onnx))
    assert file.ir_version == 8
    assert [(entry.domain, entry.version) for entry in file.opset_import] == [("", 11)]
    assert [value.name for value in file.graph.input] == ["x"]
    used = {name for node in file.graph.node for name in node.input}
    assert {tensor.name for tensor in file.graph.initializer} <= used


def test_other_keys_than_the_links_are_refused(tmp_path: Path) -> None:
    model = networks.Mlp()
    model(rows())
    arrays: dict[str, Any] = {"l1/W": np.zeros((4, 4), "f"), "l9/W": np.zeros(1)}
    np.savez(tmp_path / "model.npz", **arrays)
    saved = [SavedLink(link=model, path=tmp_path / "model.npz", format=Format.NPZ, name="model")]
    found = export_saved(tmp_path, saved)
    assert found.networks == ()
    assert "it lacks l1/b, l2/W, l2/b and also has l9/W" in found.failures[0].reason


def test_a_function_without_converter_is_named_with_its_link(tmp_path: Path) -> None:
    model = L.Classifier(networks.Recurrent())
    model(rows(), labels())
    model.predictor.rnn.reset_state()
    found = export(tmp_path, {"rnn.npz": model})
    assert found.networks == ()
    (failure,) = found.failures
    assert failure.function is not None
    assert failure.path in {"predictor/rnn", "predictor/norm"}
    assert re.fullmatch(r"\w+ of the Link predictor/\w+ has no converter to ONNX", failure.reason)


def test_a_link_that_was_never_called_is_named(tmp_path: Path) -> None:
    class Idle(chainer.Chain):  # type: ignore[misc]  # Chainer has no types
        pass

    (failure,) = export(tmp_path, {"idle.npz": Idle()}).failures
    assert (failure.link, failure.reason) == ("Idle", "no call of it was seen")


def test_the_evidence_names_versions_and_files(tmp_path: Path) -> None:
    model = networks.Mlp()
    model(rows())
    network = the_network(export(tmp_path, {"mlp.npz": model}))
    assert network.parity is not None
    document = json.loads(network.parity.read_text())
    assert (document["verified"], document["samples"], document["batches"]) == (True, 64, [1, 2, 64])
    assert document["files"].keys() == {"model.onnx", "parity.npz"}
    assert {"chainer", "onnx", "onnxruntime", "numpy"} <= document["versions"].keys()
    with np.load(network.parity.with_suffix(".npz"), allow_pickle=False) as arrays:
        np.testing.assert_allclose(run(network, arrays["inputs/x"])[0], arrays["outputs/output"], rtol=1e-4, atol=1e-5)
    assert re.fullmatch(
        r"model\.onnx gives the same answers as Chainer on 64 inputs \(largest difference \d\.\de[+-]\d\d\)\.",
        network.sentence,
    )


def test_the_links_of_the_last_step_are_exported_and_the_scripts_own_model(tmp_path: Path) -> None:
    links = [networks.Mlp() for _ in range(4)]
    remembered = SavedNetworks()
    own = tmp_path / "outputs" / "model.npz"
    for step, (link, path) in enumerate(zip(links, [own, *(tmp_path / f"{n}.npz" for n in range(3))], strict=True)):
        remembered.add(SavedLink(link=link, path=path, format=Format.NPZ, name=path.stem), min(step, 2))
    assert [one.link for one in remembered.last()] == [links[0], links[2], links[3]]
    remembered.add(SavedLink(link=links[3], path=tmp_path / "again.npz", format=Format.NPZ, name="again"), 2)
    assert [one.path.name for one in remembered.last()] == ["model.npz", "1.npz", "again.npz"]

"""Weights and other files that code would download, under the names that it asks for."""

import io

import numpy as np
import pytest

from tests.unit.training_job.drops import Drop

ASK = """
    from chainer.dataset import download

    def offline(url, path):
        raise OSError("no network")

    download.request.urlretrieve = offline
    print(open(download.cached_download("https://example.org/a/words%20of.txt?x=/1")).read())
    """


@pytest.mark.parametrize("name", ["words of.txt", "a/b/words of.txt"])
def test_a_download_is_found_in_any_folder_of_the_data(drop: Drop, name: str) -> None:
    drop.scripts, drop.data = {"train.py": ASK}, {name: b"some words", "other.txt": b""}
    assert drop.launch("python", "train.py").output.strip() == "some words"


def test_a_download_is_found_among_the_scripts(drop: Drop) -> None:
    drop.scripts = {"train.py": ASK, "files/words of.txt": "some words"}
    assert drop.launch("python", "train.py").output.strip() == "some words"


@pytest.mark.parametrize("names", [(), ("a/words of.txt", "b/words of.txt")])
def test_a_download_that_fails_is_noted(drop: Drop, names: tuple[str, ...]) -> None:
    drop.scripts, drop.data = {"train.py": ASK}, {"x": b""} | dict.fromkeys(names, b"some words")
    ended = drop.launch("python", "train.py")
    assert ended.manifest["reason"] == "the script ended with OSError: no network"
    assert ended.manifest["notes"] == [
        "words of.txt could not be downloaded: drop it among the data under that name, and it is used."
    ]
    assert ("there are 2 of this name" in ended.errors) == bool(names)


SMALL = """
    import chainer, numpy
    import chainer.links as L

    class Small(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.fc = L.Linear(2, 1, nobias=True)

    model = Small()
    """
VGG = f"""{SMALL}
    from chainer.links.model.vision import vgg
    vgg._retrieve("VGG_ILSVRC_16_layers.npz", "https://example.org/VGG_ILSVRC_16_layers.caffemodel", model)
    print(model.fc.W.array)
    """
CAFFE = f"""{SMALL}
    from chainer.links.model.vision import vgg

    def convert(path, path_npz):
        print(open(path).read())
        chainer.serializers.save_npz(path_npz, model)

    vgg.VGGLayers.convert_caffemodel_to_npz = convert
    vgg._retrieve("VGG_ILSVRC_16_layers.npz", "https://example.org/VGG_ILSVRC_16_layers.caffemodel", model)
    """
RESNET = f"""{SMALL}
    from chainer.links.model.vision import resnet

    def convert(path, path_npz, layers):
        print(open(path).read(), layers)
        chainer.serializers.save_npz(path_npz, model)

    resnet.ResNetLayers.convert_caffemodel_to_npz = convert
    resnet._retrieve(50, "ResNet-50-model.npz", "ResNet-50-model.caffemodel", model)
    """


@pytest.mark.parametrize("name", ["VGG_ILSVRC_16_layers.npz", "weights/VGG_ILSVRC_16_layers.npz"])
def test_converted_weights(drop: Drop, name: str) -> None:
    weights = io.BytesIO()
    np.savez(weights, **{"fc/W": np.array([[3.0, 4.0]])})
    drop.scripts, drop.data = {"train.py": VGG}, {name: weights.getvalue()}
    ended = drop.launch("python", "train.py")
    assert ended.output.strip() == "[[3. 4.]]", ended.errors


@pytest.mark.parametrize(
    ("script", "name", "output"),
    [
        (CAFFE, "weights/VGG_ILSVRC_16_layers.caffemodel", "weights"),
        (RESNET, "ResNet-50-model.caffemodel", "weights 50"),
    ],
    ids=["VGG", "ResNet"],
)
def test_weights_of_caffe(drop: Drop, script: str, name: str, output: str) -> None:
    drop.scripts, drop.data = {"train.py": script}, {name: b"weights"}
    ended = drop.launch("python", "train.py")
    assert ended.output.strip() == output, ended.errors


def test_weights_of_resnet_that_are_missing(drop: Drop) -> None:
    drop.scripts, drop.data = {"train.py": RESNET}, {"x": b""}
    ended = drop.launch("python", "train.py")
    assert "The pre-trained caffemodel does not exist" in ended.manifest["reason"]
    assert ended.manifest["notes"][0].startswith("ResNet-50-model.caffemodel could not be downloaded: drop it ")


def test_weights_of_chainercv(drop: Drop) -> None:
    """Its `download_model` moves what `cached_download` returns (chainercv 0.13.1, utils/download.py)."""
    drop.scripts = {
        "chainercv/__init__.py": "",
        "chainercv/utils/__init__.py": "from chainercv.utils.download import cached_download, download_model",
        "chainercv/utils/download.py": """
            import os
            from chainer.dataset.download import get_dataset_directory

            def cached_download(url):
                raise EOFError("asked on the terminal")

            def download_model(url):
                path = os.path.join(get_dataset_directory("pfnet/chainercv/models"), os.path.basename(url))
                if not os.path.exists(path):
                    os.rename(cached_download(url), path)
                return path
            """,
        "train.py": """
            import os
            from chainercv.utils import download_model
            for _ in range(2):
                print(open(download_model("https://example.org/ssd300_voc0712_2017_06_06.npz")).read())
            print(os.listdir(os.environ["KEDJA_DATA"]))
            """,
    }
    drop.data = {"ssd300_voc0712_2017_06_06.npz": b"weights"}
    ended = drop.launch("python", "train.py")
    assert ended.output.splitlines() == ["weights", "weights", "['ssd300_voc0712_2017_06_06.npz']"], ended.errors

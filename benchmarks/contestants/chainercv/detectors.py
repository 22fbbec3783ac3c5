"""Trains ChainerCV's SSD300 and Faster R-CNN for a step each on a random picture, and predicts with them."""

import chainer
import numpy as np
from chainercv.links import SSD300, FasterRCNNVGG16
from chainercv.links.model.faster_rcnn import FasterRCNNTrainChain
from chainercv.links.model.ssd import multibox_loss

np.random.seed(0)  # noqa: NPY002 - as scripts of its time do
IMAGE = np.random.uniform(0, 255, (3, 300, 300)).astype("f")  # noqa: NPY002 - as above
BOXES = np.array([[10, 10, 100, 120], [50, 60, 200, 220]], "f")
LABELS = np.array([0, 3], np.int32)


def train_ssd() -> None:
    """Train SSD300, print its losses and what it predicts, and save it."""
    model = SSD300(n_fg_class=20, pretrained_model=None)
    locations, labels = model.coder.encode(BOXES, LABELS)
    found_locations, confidences = model(IMAGE[None] / 100)
    location_loss, confidence_loss = multibox_loss(found_locations, confidences, locations[None], labels[None], 3)
    loss = location_loss + confidence_loss
    optimizer = chainer.optimizers.MomentumSGD(1e-3).setup(model)
    model.cleargrads()
    loss.backward()
    optimizer.update()
    print("SSD300", float(loss.array), [len(boxes) for boxes in model.predict([IMAGE])[0]])
    chainer.serializers.save_npz("ssd300.npz", model)


def train_faster_rcnn() -> None:
    """Train Faster R-CNN with VGG-16, print what it predicts, and save it."""
    model = FasterRCNNVGG16(n_fg_class=20, pretrained_model=None, min_size=300, max_size=300)
    chain = FasterRCNNTrainChain(model)
    optimizer = chainer.optimizers.MomentumSGD(1e-3).setup(chain)
    optimizer.update(chain, IMAGE[None], BOXES[None], LABELS[None], np.array([1.0]))
    with chainer.using_config("train", False):  # noqa: FBT003 - Chainer's signature
        print("Faster R-CNN", [len(boxes) for boxes in model.predict([IMAGE])[0]])
    chainer.serializers.save_npz("faster_rcnn.npz", model)


train_ssd()
train_faster_rcnn()

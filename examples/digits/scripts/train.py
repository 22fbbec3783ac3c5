"""Trains a small convolutional network on handwritten digits.

The data is one .npz with x (N, 784), 0 to 255, and y (N,), 0 to 9; x_test and y_test, where they are there, are held
out. Else a fifth is.
"""

import argparse
import os
import random

import chainer
import chainer.links as L
import numpy as np
from chainer import training
from chainer.training import extensions

from network import DigitNetwork


def load(folder):
    name = next(name for name in sorted(os.listdir(folder)) if name.endswith(".npz"))
    with np.load(os.path.join(folder, name)) as data:
        pictures = examples(data["x"], data["y"])
        if "x_test" in data:
            return pictures, examples(data["x_test"], data["y_test"])
    return chainer.datasets.split_dataset_random(pictures, len(pictures) - len(pictures) // 5, seed=0)


def examples(x, y):
    return chainer.datasets.TupleDataset(x.reshape(-1, 784).astype(np.float32) / 255, y.astype(np.int32))


def shift(example):
    """Move the picture by up to one pixel each way."""
    x, y = example
    padded = np.pad(x.reshape(28, 28), 1)
    down, right = random.randrange(3), random.randrange(3)
    return padded[down : down + 28, right : right + 28].reshape(784), y


def main():
    parser = argparse.ArgumentParser(description="Chainer example: digits")
    parser.add_argument("--batchsize", "-b", type=int, default=50)
    parser.add_argument("--epochs", "-e", type=int, default=12)
    parser.add_argument("--output_dir", "-o", default="./outputs")
    parser.add_argument("--gpu_id", "-g", type=int, default=-1, help="-1 is the CPU")
    parser.add_argument("--data", default=os.environ.get("KEDJA_DATA", "."))
    args = parser.parse_args()

    random.seed(0)
    np.random.seed(0)
    train, test = load(args.data)
    train = chainer.datasets.TransformDataset(train, shift)
    train_iter = chainer.iterators.SerialIterator(train, args.batchsize)
    test_iter = chainer.iterators.SerialIterator(test, 500, repeat=False, shuffle=False)

    model = L.Classifier(DigitNetwork())
    device = chainer.get_device(args.gpu_id)
    device.use()
    model.to_device(device)
    optimizer = chainer.optimizers.Adam(alpha=0.002)
    optimizer.setup(model)

    updater = training.updaters.StandardUpdater(train_iter, optimizer, device=device)
    trainer = training.Trainer(updater, (args.epochs, "epoch"), out=args.output_dir)
    trainer.extend(extensions.Evaluator(test_iter, model, device=device))
    trainer.extend(extensions.ExponentialShift("alpha", 0.7), trigger=(1, "epoch"))
    trainer.extend(extensions.LogReport())
    trainer.extend(
        extensions.PrintReport(
            ["epoch", "main/loss", "validation/main/loss", "validation/main/accuracy", "elapsed_time"]
        )
    )
    trainer.run()

    model.to_device("@numpy")
    chainer.serializers.save_npz(os.path.join(args.output_dir, "model.npz"), model.predictor)


if __name__ == "__main__":
    main()

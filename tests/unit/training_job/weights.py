"""What tests compare of weights."""

from pathlib import Path

import numpy as np


def same(one: Path, other: Path) -> bool:
    with np.load(one) as first, np.load(other) as second:
        assert sorted(first.files) == sorted(second.files)
        return all(np.array_equal(first[name], second[name]) for name in first.files)

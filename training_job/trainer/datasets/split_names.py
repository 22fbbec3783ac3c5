"""Files and folders whose names say that they are for training, validation or tests."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Part(StrEnum):
    """The parts of a split."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_WORDS = {
    Part.TRAIN: r"train(ing)?",
    Part.VALIDATION: r"val(id|idation)?|dev",
    Part.TEST: r"test(ing)?",
}
_NAMES = {
    part: re.compile(rf"({words})([\W_\d].*)?$|.*[\W_]({words})$", re.IGNORECASE) for part, words in _WORDS.items()
}


@dataclass(frozen=True, kw_only=True)
class SplitPaths:
    """Paths by part. `others` are beside a split and belong to no part of it."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()

    @property
    def is_split(self) -> bool:
        """Return whether there is more than training data."""
        return bool(self.validation or self.test)


def part_of(path: Path) -> Part | None:
    """Return the part that a name says, such as `train.csv`, `valid_2.csv` or `mnist_test.npz`, or None."""
    stem = path.name.partition(".")[0]
    return next((part for part, pattern in _NAMES.items() if pattern.match(stem)), None)


def split(paths: Iterable[Path]) -> SplitPaths:
    """Return the paths by part. Without one named for training, those without a part are for training."""
    found: dict[Part | None, list[Path]] = {}
    every = sorted(paths)
    for path in every:
        found.setdefault(part_of(path), []).append(path)
    train = found.get(Part.TRAIN) or found.get(None)
    if not train:
        return SplitPaths(train=tuple(every))
    return SplitPaths(
        train=tuple(train),
        validation=tuple(found.get(Part.VALIDATION, ())),
        test=tuple(found.get(Part.TEST, ())),
        others=tuple(found.get(None, ())) if Part.TRAIN in found else (),
    )

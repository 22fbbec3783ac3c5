"""Files of one table, read and joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from training_job.errors import DatasetError
from training_job.trainer.datasets.labels import some
from training_job.trainer.datasets.tables import text_file

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, kw_only=True)
class ParquetFile:
    """A Parquet file's table."""

    path: Path
    frame: Any

    def where(self, row: int) -> str:
        """Return the place of a row of the frame, counted from 0, for messages."""
        return f"row {row + 1} of {self.path.name}"


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """The rows of one or more files, `frame`, and the `files` that they come from, in order."""

    frame: Any
    files: tuple[text_file.TextFile | ParquetFile, ...]

    @property
    def name(self) -> str:
        """Return the files' names, for messages."""
        return some([file.path.name for file in self.files], limit=3)

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what is unusual about the way that the files are written."""
        written = [(file.path.name, file.layout.notes) for file in self.files if isinstance(file, text_file.TextFile)]
        return tuple(f"{name} {' and '.join(notes)}." for name, notes in written if notes)

    def where(self, row: int) -> str:
        """Return the file of a row, counted from 0, and its line there."""
        for file in self.files:
            if row < len(file.frame):
                return file.where(row)
            row -= len(file.frame)
        return self.name


def read(paths: Sequence[Path]) -> RawTable:
    """Read files of one schema as one table.

    Raises:
        DatasetError: A file cannot be read, or has other columns than the first one.
    """
    files = tuple(_read(path) for path in paths)
    first = files[0]
    for file in files[1:]:
        if set(file.frame.columns) != set(first.frame.columns):
            more = sorted(set(file.frame.columns) - set(first.frame.columns))
            fewer = sorted(set(first.frame.columns) - set(file.frame.columns))
            described = [f"has also {some(more)}"] * bool(more) + [f"lacks {some(fewer)}"] * bool(fewer)
            raise DatasetError(
                f"{file.path.name} has other columns than {first.path.name} (it {' and '.join(described)}): files that "
                "are not called train, val or test are one table; drop tables of different columns as experiments of "
                "their own"
            )
    if len(files) == 1:
        return RawTable(frame=first.frame, files=files)
    columns = list(first.frame.columns)
    return RawTable(frame=pd.concat([file.frame[columns] for file in files], ignore_index=True), files=files)


def _read(path: Path) -> text_file.TextFile | ParquetFile:
    if path.suffix.lower() not in PARQUET:
        return text_file.read(path)
    try:
        frame = pd.read_parquet(path, engine="fastparquet")
    except Exception as error:  # damaged files raise anything
        raise DatasetError(f"{path.name} is no Parquet file, or is damaged: {' '.join(str(error).split())}") from error
    if frame.empty:
        raise DatasetError(f"{path.name} has no rows: add a row for each example")
    frame.columns = [str(name) for name in frame.columns]
    return ParquetFile(path=path, frame=frame.reset_index(drop=True))

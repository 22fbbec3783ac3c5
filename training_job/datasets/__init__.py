"""The data that the built-in trainer can read: found, read, checked and split."""

from training_job.datasets.finder import load
from training_job.datasets.table import Split, Table, hold_out

__all__ = ["Split", "Table", "hold_out", "load"]

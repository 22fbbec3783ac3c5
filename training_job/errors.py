"""The errors of the training job, and the exit code for invalid input."""

EXIT_INVALID_INPUT = 65
"""EX_DATAERR of sysexits.h."""


class TrainingJobError(Exception):
    """Base of every error that `training_job` raises on purpose.

    The message is one line that names the thing, the value and what to do.
    """


class SnapshotError(TrainingJobError):
    """The snapshot cannot be read, or contains a script that cannot be run."""


class ChangedSinceSnapshotError(TrainingJobError):
    """The data or the scripts differ from those that were dropped."""


class PackagesError(TrainingJobError):
    """The list of packages that a drop asks for cannot be read, or there is nothing that installs packages."""


class CommandError(TrainingJobError):
    """The job's command could not be started."""


class DatasetError(TrainingJobError):
    """The dropped data cannot be trained on. The message names file, row or key, and what was expected."""


class NotebookError(TrainingJobError):
    """A dropped notebook cannot be run: it is damaged, of an unknown version, or not in Python."""


class DeviceError(TrainingJobError):
    """A GPU was requested, and none is usable."""


class ModelError(TrainingJobError):
    """A model folder cannot be loaded, or does not fit what it is asked to score."""


class CheckpointError(TrainingJobError):
    """A checkpoint cannot be written or read, or does not fit the training."""


class ExportError(TrainingJobError):
    """A network cannot be exported as ONNX, or what was exported cannot be read."""


class ArchiveError(TrainingJobError):
    """A dropped archive is damaged, or refused: it would write outside of its folder or fill the disk."""

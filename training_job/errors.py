"""The one error family of the training job, and the exit code for input that is to blame itself."""

EXIT_INVALID_INPUT = 65
"""EX_DATAERR of sysexits.h."""


class TrainingJobError(Exception):
    """Base of every error that `training_job` raises on purpose.

    The message is one line that names the thing, the value and what to do.
    """


class SnapshotError(TrainingJobError):
    """The snapshot cannot be read or run as it is."""


class ChangedSinceSnapshotError(TrainingJobError):
    """The data or the scripts are not those that the receipt names."""


class PackagesError(TrainingJobError):
    """The drop's requirements.txt could not be installed."""


class CommandError(TrainingJobError):
    """The job's command could not be started."""


class DatasetError(TrainingJobError):
    """The dropped data cannot be trained on. The message names file, row or key, and what was expected."""


class DeviceError(TrainingJobError):
    """A GPU was asked for and none is usable."""


class ModelError(TrainingJobError):
    """A model folder cannot be loaded, or does not fit what it is asked to score."""


class CheckpointError(TrainingJobError):
    """A checkpoint cannot be written, read, or does not fit the training that it should go on with."""


class ArchiveError(TrainingJobError):
    """A dropped archive is not unpacked: it is damaged, or would reach out of its folder or fill the disk."""

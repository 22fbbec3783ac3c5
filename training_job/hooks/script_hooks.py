"""What a job's own processes get at their start, before the first line of the script."""

import sys
from types import TracebackType

from training_job import metrics
from training_job.hooks import azureml_v1


def install() -> None:
    """Serve `azureml.core`, and let `launch` know the exception that ends the process."""
    azureml_v1.install()
    show = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        show(kind, error, traceback)
        metrics.failure(f"{kind.__name__}: {error}")

    sys.excepthook = excepthook

"""Packages as a job writes them."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from training_job.export.exports import ExportedNetwork, Exports
from training_job.export.options import Options
from training_job.job import Job
from training_job.launcher.results.gathering import FoundModel
from training_job.launcher.run_log import Records
from training_job.package import writer

type Make = Callable[[Path, Path], ExportedNetwork]


def package(root: Path, *made: Make) -> Path:
    """Return the folder of a package with these networks."""
    job = Job(
        folder=root / "job",
        snapshot=root / "snapshot",
        data=None,
        code=PurePosixPath(),
        requirements=None,
        checkpoints=root / "checkpoints",
        command=("python", "train.py"),
        is_shell=False,
    )
    for folder in (job.outputs, job.state):
        folder.mkdir(parents=True)
    weights = job.outputs / "model.npz"
    weights.write_bytes(b"weights")
    networks = tuple(make(job.state / "export", weights) for make in made)
    model = FoundModel("model.npz", "The script wrote it.")
    found = writer.write(job, Exports(networks), model, Records(), Options())
    return job.outputs / str(found.path)

"""The job that the arguments of `launch` describe: its command, folders and data."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training_job import checkpoints


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job. `code` is the folder of the drop whose scripts are copied to the working directory `folder`.

    `requirements` is the file that lists the packages to install, if one is named.
    """

    folder: Path
    snapshot: Path
    data: Path | None
    code: PurePosixPath
    requirements: PurePosixPath | None
    checkpoints: Path
    command: tuple[str, ...]
    is_shell: bool
    allows_pickle: bool = False

    @property
    def outputs(self) -> Path:
        """The folder of the script's results."""
        return self.folder / "outputs"

    @property
    def state(self) -> Path:
        """The folder of the job's own files."""
        return self.folder / ".kedja"

    @property
    def data_links(self) -> Path:
        """The folder of the data that the script sees, to which it may write."""
        return self.state / "data"

    def records(self, rank: int) -> Path:
        """Return the file in which a rank's processes record metrics. Each rank of an MPI job has its own."""
        return self.state / ("metrics.jsonl" if rank == 0 else f"metrics-rank{rank}.jsonl")

    def command_with_data(self, folder: Path | None) -> tuple[str, ...]:
        """Return the command with the path of the data replaced by `folder`."""
        if folder is None or self.data is None or folder == self.data:
            return self.command
        if self.is_shell:
            return tuple(word.replace(str(self.data), str(folder)) for word in self.command)
        return tuple(_moved(word, self.data, folder) for word in self.command)


def _moved(word: str, old: Path, new: Path) -> str:
    option, separator, path = word.rpartition("=")
    if path and Path(path).is_relative_to(old):
        return f"{option}{separator}{new / Path(path).relative_to(old)}"
    return word


def parse(argv: Sequence[str]) -> Job:
    """Return the job that the arguments describe; exit with 2 if they are invalid."""
    before, separator, command = _split(argv)
    parser = argparse.ArgumentParser(prog="python -m training_job.launch", description="Run a dropped script.")
    parser.add_argument("--snapshot", type=Path, required=True, help="folder with manifest.json and scripts/")
    parser.add_argument("--data", type=Path, help="folder with the dropped data")
    parser.add_argument("--code", type=PurePosixPath, default=PurePosixPath(), help="folder of the drop to run from")
    parser.add_argument(
        "--requirements", type=PurePosixPath, help="file that lists packages, relative to --code; found by default"
    )
    parser.add_argument(
        "--checkpoints", type=Path, help=f"folder of the checkpoints; ${checkpoints.FOLDER_VARIABLE} by default"
    )
    parser.add_argument("--allow-pickle", action="store_true", help="let np.load in the job's files load pickles")
    parser.add_argument("--shell", help="a command line for the shell, in place of -- and a command")
    options = parser.parse_args(before)
    if (options.shell is None) != bool(separator and command):
        parser.error("give either --shell, or -- and a command")
    for option, path in (("--code", options.code), ("--requirements", options.requirements)):
        if path is not None and (path.is_absolute() or ".." in path.parts):
            parser.error(f"{option} {path} is no relative path inside the drop")
    folder = Path.cwd()
    kept = options.checkpoints or os.environ.get(checkpoints.FOLDER_VARIABLE) or folder / ".kedja" / "checkpoints"
    return Job(
        folder=folder,
        snapshot=options.snapshot.absolute(),
        data=None if options.data is None else options.data.absolute(),
        code=options.code,
        requirements=options.requirements,
        checkpoints=Path(kept).absolute(),
        command=tuple(command) if options.shell is None else (options.shell,),
        is_shell=options.shell is not None,
        allows_pickle=options.allow_pickle,
    )


def _split(argv: Sequence[str]) -> tuple[Sequence[str], bool, Sequence[str]]:
    if "--" not in argv:
        return argv, False, []
    index = list(argv).index("--")
    return argv[:index], True, argv[index + 1 :]

"""The packages of one job: where they are, and what became of the lines that asked for them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training_job.requirements.outcome import Outcome


@dataclass(frozen=True)
class JobPackages:
    """The packages of one job, in the folder `state` of its own files. A job that needs none has no venv."""

    state: Path

    @property
    def own(self) -> Path:
        """The job's venv, whose Python runs the script."""
        return self.state / "venv"

    @property
    def cached(self) -> Path:
        """A link to the cached venv that the packages are in, if they are not in the job's own."""
        return self.state / "packages"

    @property
    def outcome_file(self) -> Path:
        """The file with the outcome."""
        return self.state / "requirements.json"

    @property
    def key_file(self) -> Path:
        """The file with the key of the cached venv."""
        return self.state / "requirements.key"

    def commands(self) -> list[Path]:
        """Return the folders of commands that come first on the script's path; none without a venv."""
        return [folder for venv in (self.own, self.cached) if (folder := venv / "bin").is_dir()]

    def outcome(self) -> "Outcome | None":
        """Return what became of the requirements, or None if there are none."""
        if not self.outcome_file.is_file():
            return None
        from training_job.requirements.outcome import Outcome  # noqa: PLC0415 - few jobs need what it imports

        try:
            return Outcome.load(self.outcome_file)
        except (OSError, ValueError):
            return None

    def explain(self, failure: str, module: str | None) -> str:
        """Return why a script ended, with the line that could not be installed if it lacked that line's module.

        The cached venv is built anew for the next job then, as the package may be missing for a passing reason.
        """
        outcome = self.outcome() if module is not None else None
        missing = outcome.missing(module) if outcome is not None and module is not None else None
        if missing is None:
            return failure
        from training_job.requirements.cache import Cache  # noqa: PLC0415 - as above

        cache = Cache.from_environment()
        if cache is not None and self.key_file.is_file():
            cache.forget(self.key_file.read_text(encoding="ascii"))
        return f"{failure}: {missing.file} asks for {missing.asked}, which could not be installed: {missing.reason}"

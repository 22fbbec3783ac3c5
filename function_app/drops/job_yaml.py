"""The job spec of a drop: its job.yaml and the files that it names, dropped directly or in an archive."""

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.drops.archives import ScriptArchives
from function_app.errors import BlobNotFound
from function_app.jobspec.problem import InvalidJobSpec
from function_app.jobspec.schema import JobSpec, parse_job_yaml
from function_app.ports.storage import Blobs
from function_app.store.snapshots import SourceChanged

SPEC_LIMIT = 256 * 1024
"""Max bytes to read of job.yaml; the parser refuses a longer file."""


@frozen(kw_only=True)
class DroppedSpecs:
    """Reads the job specs of drops."""

    archives: ScriptArchives
    blobs: Blobs

    def of(self, drop: Drop) -> JobSpec | InvalidJobSpec:
        """Return the job spec of job.yaml, or its errors."""
        try:
            text = self._text(drop, naming.JOB_YAML)
            if text is None:
                return JobSpec()
            spec = parse_job_yaml(text)
            spec.check_experiment(drop.folder)
            return self.with_files(drop, spec)
        except InvalidJobSpec as error:
            return error

    def with_files(self, drop: Drop, spec: JobSpec) -> JobSpec:
        """Return the spec with the content of the files that it names.

        Raises:
            InvalidJobSpec: a file is missing or invalid.
        """
        if spec.conda_path is None:
            return spec
        text = self._text(drop, spec.conda_path)
        if text is None:
            raise InvalidJobSpec([f"environment.conda_file: there is no {spec.conda_path} in the drop."])
        return spec.with_conda_file(text)

    def _text(self, drop: Drop, name: str) -> bytes | None:
        """Return the content of a file of the drop, or None if there is no such file.

        Raises:
            SourceChanged: the file was listed, and is not there.
        """
        if any(file.name == name for one in drop.unpacked for file in one.files):
            content = self.archives.read(drop, name)
            return content[: SPEC_LIMIT + 1] if content is not None else None
        is_listed = drop.job_yaml is not None if name == naming.JOB_YAML else name in {one.name for one in drop.scripts}
        if not is_listed:
            return None
        place = f"{drop.folder}/{name}"
        try:
            return self.blobs.read(naming.SCRIPTS, place, limit=SPEC_LIMIT + 1).data
        except BlobNotFound as error:
            raise SourceChanged(f"{naming.SCRIPTS}/{place} changed while its drop was being read.") from error


def canonical_of_invalid(drop: Drop) -> str:
    """Return what replaces the canonical text of the spec for a drop with an invalid job.yaml."""
    return f"invalid job.yaml {drop.job_yaml.identity() if drop.job_yaml else ''}"

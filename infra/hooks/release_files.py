"""The files that a release registers with Azure ML, and the version that follows from their content."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen


@frozen
class Files:
    """Files by their path below the folder that is registered."""

    content: Mapping[str, bytes]

    @property
    def version(self) -> str:
        """Sixteen hexadecimal digits of a SHA-256 over paths and content: the same files have the same version."""
        digest = hashlib.sha256()
        for path, content in sorted(self.content.items()):
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:16]


def code_files(root: Path) -> Files:
    """Return `training_job/`, as a job finds it in its working directory, without what its image is built from."""
    folder = root / "training_job"
    return _files(root, (path for path in folder.rglob("*") if folder / "environment" not in path.parents))


def environment_files(root: Path) -> Files:
    """Return the build context of the image that jobs run in.

    Raises:
        FileNotFoundError: where it has no Dockerfile.
    """
    folder = root / "training_job" / "environment"
    if not (folder / "Dockerfile").is_file():
        raise FileNotFoundError(f"{folder / 'Dockerfile'} is not there: the image of the jobs is built from it.")
    return _files(folder, folder.rglob("*"))


def _files(base: Path, paths: Iterable[Path]) -> Files:
    return Files(
        {
            path.relative_to(base).as_posix(): path.read_bytes()
            for path in sorted(paths)
            if path.is_file() and "__pycache__" not in path.parts
        }
    )

"""Takes a Trainer's snapshot apart: each model in it becomes a file as `save_npz(file, model)` writes it.

A snapshot is an archive of arrays whose names are paths: those of a model begin with `updater/model:<name>/`, where the
updater calls a single model `main` (`StandardUpdater.serialize` in Chainer). The arrays' bytes are copied unread, so no
pickle in a snapshot is loaded.
"""

import re
import shutil
import zipfile
from pathlib import Path

from training_job.atomic_write import open_atomic

_MODEL = re.compile(r"(?:updater/)?model:(?P<model>[^/]+)/(?P<array>.+\.npy)")
_MAIN = "main"


def models_in(snapshot: Path) -> list[str]:
    """Return the names of the models in a snapshot; none if it is not an archive."""
    try:
        with zipfile.ZipFile(snapshot) as archive:
            found = [_MODEL.fullmatch(name) for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []
    return [*dict.fromkeys(match["model"] for match in found if match)]


def take_apart(snapshot: Path, target: Path) -> list[Path]:
    """Write the models of a snapshot: to `<target>-model.npz`, or to the folder `<target>-model` if there are several.

    Returns the files, none if there is no model.

    Raises:
        OSError, zipfile.BadZipFile: The snapshot cannot be read, or a file cannot be written.
    """
    names = models_in(snapshot)
    folder = target.with_name(f"{target.name}-model")
    if names == [_MAIN]:
        files = {_MAIN: folder.with_name(f"{folder.name}.npz")}
    else:
        files = {name: folder / f"{re.sub(r'[^\w.-]', '_', name)}.npz" for name in names}
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        _write_model(snapshot, name, file)
    return [*files.values()]


def _write_model(snapshot: Path, model: str, file: Path) -> None:
    with zipfile.ZipFile(snapshot) as archive, open_atomic(file) as stream, zipfile.ZipFile(stream, "w") as target:
        for name in archive.namelist():
            match = _MODEL.fullmatch(name)
            if match and match["model"] == model:
                # Not compressed: weights hardly get smaller, and it takes long.
                with archive.open(name) as source, target.open(match["array"], "w", force_zip64=True) as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)

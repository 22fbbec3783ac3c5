"""The folder of data that a script sees: links to the dropped files, in folders that the script may write to.

A cache that a script writes beside its data, or a file that it deletes or replaces, changes these folders and not the
dropped files. Files that are not of this drop, such as those that were uploaded since, are not in it. A link costs no
space on the disk and no privileges; a hard link would cost the same, but cannot lead to a mounted folder.

Only a file that is opened for writing under its own name is changed itself, through the link. That is a change of the
dropped file, which `snapshot.verify_data` finds when the script has ended.
"""

import os
import shutil
from pathlib import Path

from training_job.launcher import archives
from training_job.launcher.snapshot import Snapshot


def prepare(dropped: Snapshot, data: Path, target: Path) -> Path:
    """Create `target` anew with links to the dropped files in `data` and the content of archives; return it.

    Raises:
        ArchiveError: As `archives.unpack`.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    made = {str(target)}
    # Texts and not Paths, as a drop may have 100,000 files.
    for file in dropped.data:
        link = f"{target}/{file.name}"
        if (folder := os.path.dirname(link)) not in made:  # noqa: PTH120 - as above
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - as above
            made.add(folder)
        os.symlink(f"{data}/{file.name}", link)  # noqa: PTH211 - as above
    archives.unpack(target)
    return target

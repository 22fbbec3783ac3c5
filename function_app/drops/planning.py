"""Planning: what a drop needs, and whether it has it."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from attrs import frozen

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import DroppedFile, WaitingFor
from function_app.drops import path_rules
from function_app.jobspec.schema import JobSpec
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings

DEFAULT_ENTRY_SCRIPT = "train.py"
NETWORKS = "networks.py"
"""Networks of the user's own for the built-in trainer: no script to run."""
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_IDX = re.compile(r"(images|labels)[-.]idx[13][-.]ubyte(\.gz)?$")


def detect_data_format(data: Sequence[DroppedFile]) -> str | None:
    """Return which format of the built-in trainer the files are in by their names, or None."""
    paths = [PurePosixPath(file.name.lower()) for file in data]
    if any(path.suffix == ".npz" for path in paths):
        return "npz"
    if len({match[1] for path in paths if (match := _IDX.search(path.name))}) == len(("images", "labels")):
        return "idx"
    if any(path.name.endswith((".csv", ".csv.gz")) for path in paths):
        return "csv"
    classes = {path.parent.name for path in paths if path.suffix in _IMAGES and path.parent.name}
    return "images" if len(classes) > 1 else None


@frozen(kw_only=True)
class Planner:
    """Decides what becomes of drops."""

    settings: Settings
    training: TrainingService

    def effective_drop(self, drop: Drop, spec: JobSpec) -> Drop:
        """Return the drop that a plan is about, which its id is made of: without what only announces or is not used."""
        if spec.kedja.drop.wait_for is not None:
            drop = drop.without(spec.kedja.drop.wait_for)
        return drop if spec.needs_data else drop.without_data()

    def plan(self, drop: Drop, spec: JobSpec) -> Plan:
        """Return what the drop is ready for, or what stands against it."""
        if drop.refusal is not None:
            return RejectedPlan(drop=drop, reason=drop.refusal[0], what_to_do=drop.refusal[1])
        if (reason := path_rules.drop_error(drop)) is not None:
            return RejectedPlan(drop=drop, reason=reason, what_to_do="Drop it under another name, and delete this one.")
        if (marker := spec.kedja.drop.wait_for) is not None:
            announced, drop = drop.is_completed_by(marker), drop.without(marker)
            if not announced:
                return WaitingPlan(
                    drop=drop, what=marker, what_to_do=f"Write {marker} again once every other file is there."
                )
        if not spec.needs_data:
            drop = drop.without_data()
        if refusal := self._refusal(drop, spec):
            return refusal
        if spec.work.command is not None:
            return self._with_data(drop, spec, entry_script=None)
        return self._with_script(drop, spec)

    def _with_script(self, drop: Drop, spec: JobSpec) -> Plan:
        scripts = spec.in_code(file.name for file in drop.job_scripts)
        top = [name for name in scripts if name.endswith(".py") and "/" not in name and name != NETWORKS]
        wanted = spec.kedja.entry_script
        if wanted is None and not top:
            return self._built_in(drop, spec)
        if wanted is not None:
            if wanted not in scripts:
                return WaitingPlan(
                    drop=drop,
                    what="script",
                    what_to_do=f"Drop {wanted}, which job.yaml names as kedja.entry_script, into "
                    f"{naming.SCRIPTS}/{drop.folder}/.",
                )
            return self._with_data(drop, spec, entry_script=wanted)
        if DEFAULT_ENTRY_SCRIPT in top or len(top) == 1:
            return self._with_data(drop, spec, entry_script=DEFAULT_ENTRY_SCRIPT if len(top) > 1 else top[0])
        return RejectedPlan(
            drop=drop,
            reason=f"Which script is to run? There are {', '.join(sorted(top))}.",
            what_to_do=f"Call it {DEFAULT_ENTRY_SCRIPT}, or name it in job.yaml: kedja.entry_script.",
        )

    def _built_in(self, drop: Drop, spec: JobSpec) -> Plan:
        if drop.data and detect_data_format(drop.data):
            return self._with_data(drop, spec, entry_script=None)
        if spec.needs_data and not drop.data:
            return WaitingPlan(
                drop=drop,
                what="data",
                what_to_do=f"Drop files into {naming.DATA}/{drop.folder}/, and a script into "
                f"{naming.SCRIPTS}/{drop.folder}/ unless the built-in trainer shall read them.",
            )
        return WaitingPlan(
            drop=drop,
            what="script",
            what_to_do=f"Drop a training script into {naming.SCRIPTS}/{drop.folder}/. The built-in trainer reads .npz "
            "with x and y, pairs of IDX files, CSV with a header, and one folder of images per class; it knows none "
            "of these files.",
        )

    def _with_data(self, drop: Drop, spec: JobSpec, *, entry_script: str | None) -> Plan:
        if spec.needs_data and not drop.data:
            return WaitingPlan(
                drop=drop,
                what="data",
                what_to_do=f"Drop files into {naming.DATA}/{drop.folder}/, or say in job.yaml that the script needs "
                "none: kedja: {data: none}.",
            )
        return ReadyPlan(drop=drop, entry_script=entry_script)

    def _refusal(self, drop: Drop, spec: JobSpec) -> Plan | None:
        """Check the compute against those that exist; where Kedja's own is missing, the drop waits for it."""
        known = [compute.name for compute in self.training.computes()]
        wanted = spec.compute_name or self.settings.compute
        if wanted in known:
            return None
        if spec.compute_name is None:
            return WaitingPlan(
                drop=drop,
                what=f"compute {wanted}",
                waiting_for=WaitingFor.COMPUTE,
                what_to_do=f"The compute {wanted!r} does not exist. Deploy infra/ with at least one node, or name one "
                f"of {', '.join(known) or '(none exists)'} in job.yaml: compute.",
            )
        return RejectedPlan(
            drop=drop,
            reason=str(spec.unknown_compute(known)),
            what_to_do="Name a compute that exists, or leave the key out.",
        )

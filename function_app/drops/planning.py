"""Planning: decide whether a drop is ready for a job, waits for something, or is rejected."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from attrs import frozen

from function_app.domain import naming
from function_app.domain.contents import DroppedFile
from function_app.domain.drop import Drop
from function_app.domain.plan import Plan, ReadyPlan, RejectedPlan, WaitingPlan
from function_app.domain.receipt import WaitingFor
from function_app.drops import path_rules
from function_app.jobspec.schema import JobSpec
from function_app.ports.training_service import TrainingService
from function_app.settings import Settings

DEFAULT_STEM = PurePosixPath(naming.DEFAULT_ENTRY_SCRIPT).stem
NETWORKS = "networks.py"
"""The user's networks for the built-in trainer; not a script to run."""
_NOT_SCRIPTS = (NETWORKS, "setup.py")
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm")
_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".tab", ".data", ".parquet", ".pq")
_IDX = re.compile(r"(images|labels)[-.]idx[13][-.]ubyte(\.gz)?$")


def detect_data_format(data: Sequence[DroppedFile]) -> str | None:
    """Return the built-in trainer's format that matches the files' names, or None."""
    paths = [PurePosixPath(file.name.lower()) for file in data]
    if any(path.suffix == ".npz" for path in paths):
        return "npz"
    if len({match[1] for path in paths if (match := _IDX.search(path.name))}) == len(("images", "labels")):
        return "idx"
    if any(path.name.endswith(_TABLES) for path in paths):
        return "table"
    classes = {path.parent.name for path in paths if path.suffix in _IMAGES and path.parent.name}
    return "images" if len(classes) > 1 else None


def _waiting_for_file(drop: Drop, wanted: str, key: str) -> WaitingPlan:
    """Return the plan of a drop that lacks a file which its job.yaml names."""
    what_to_do = f"Drop {wanted}, which job.yaml names as {key}, into {naming.SCRIPTS}/{drop.folder}/."
    return WaitingPlan(drop=drop, what="script", what_to_do=what_to_do)


def _candidates(scripts: Sequence[str]) -> list[str]:
    """Return the scripts at the top that may be the one to run: notebooks only if there is no other script."""
    runnable = (name for name in scripts if name.endswith(naming.SCRIPT_SUFFIXES) and "/" not in name)
    top = [name for name in runnable if name not in _NOT_SCRIPTS]
    return [name for name in top if not naming.is_notebook(name)] or top


@frozen(kw_only=True)
class Planner:
    """Makes the plans of drops."""

    settings: Settings
    training: TrainingService

    def effective_drop(self, drop: Drop, spec: JobSpec) -> Drop:
        """Return the drop without its marker file and unused data, as used for the plan and the id."""
        if spec.kedja.drop.wait_for is not None:
            drop = drop.without(spec.kedja.drop.wait_for)
        return drop if spec.needs_data else drop.without_data()

    def plan(self, drop: Drop, spec: JobSpec) -> Plan:
        """Return the plan of a drop: ready, waiting with what is missing, or rejected with the reason."""
        if drop.refusal is not None:
            return RejectedPlan(drop=drop, reason=drop.refusal[0], what_to_do=drop.refusal[1])
        if (reason := path_rules.drop_error(drop)) is not None:
            return RejectedPlan(drop=drop, reason=reason, what_to_do="Drop it under another name, and delete this one.")
        if (marker := spec.kedja.drop.wait_for) is not None:
            announced, drop = drop.is_completed_by(marker), drop.without(marker)
            if not announced:
                return WaitingPlan(
                    drop=drop, what=marker, what_to_do=f"Write {marker} again after all other files are uploaded."
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
        top = _candidates(scripts)
        wanted = spec.kedja.entry_script
        if wanted is None and not top:
            return self._built_in(drop, spec)
        if wanted is not None:
            if wanted not in scripts:
                return _waiting_for_file(drop, wanted, "kedja.entry_script")
            return self._with_data(drop, spec, entry_script=wanted)
        if len(top) == 1:
            return self._with_data(drop, spec, entry_script=top[0])
        if default := next((name for name in top if PurePosixPath(name).stem == DEFAULT_STEM), None):
            return self._with_data(drop, spec, entry_script=default)
        return RejectedPlan(
            drop=drop,
            reason=f"It is unclear which script to run: {', '.join(sorted(top))}.",
            what_to_do=f"Name it in job.yaml as kedja.entry_script, or rename it to {naming.DEFAULT_ENTRY_SCRIPT}.",
        )

    def _built_in(self, drop: Drop, spec: JobSpec) -> Plan:
        if drop.data and detect_data_format(drop.data):
            return self._with_data(drop, spec, entry_script=None)
        if spec.needs_data and not drop.data:
            return WaitingPlan(
                drop=drop,
                what="data",
                what_to_do=f"Drop files into {naming.DATA}/{drop.folder}/, and a script into "
                f"{naming.SCRIPTS}/{drop.folder}/ unless the built-in trainer should read them.",
            )
        return WaitingPlan(
            drop=drop,
            what="script",
            what_to_do=f"Drop a training script into {naming.SCRIPTS}/{drop.folder}/. The built-in trainer reads "
            "tables (.csv, .tsv, .parquet), .npz with x and y, pairs of IDX files, and one folder of images per class; "
            "the dropped files are none of these.",
        )

    def _with_data(self, drop: Drop, spec: JobSpec, *, entry_script: str | None) -> Plan:
        if spec.needs_data and not drop.data:
            return WaitingPlan(
                drop=drop,
                what="data",
                what_to_do=f"Drop files into {naming.DATA}/{drop.folder}/, or set kedja: {{data: none}} in job.yaml "
                "if the script needs no data.",
            )
        return ReadyPlan(drop=drop, entry_script=entry_script)

    def _refusal(self, drop: Drop, spec: JobSpec) -> Plan | None:
        """Check that the named list of packages and the compute exist.

        If the list or Kedja's default compute is missing, the drop waits; with another compute it is rejected.
        """
        packages = spec.kedja.requirements
        if packages is not None and packages not in spec.in_code(file.name for file in drop.job_scripts):
            return _waiting_for_file(drop, packages, "kedja.requirements")
        known = [compute.name for compute in self.training.computes()]
        wanted = spec.compute_name or self.settings.compute
        if wanted in known:
            return None
        if spec.compute_name is None:
            return WaitingPlan(
                drop=drop,
                what=f"compute {wanted}",
                waiting_for=WaitingFor.COMPUTE,
                what_to_do=f"The compute {wanted!r} does not exist. Deploy infra/ with at least one node, or set "
                f"compute in job.yaml to one of these: {', '.join(known) or '(none exists)'}.",
            )
        return RejectedPlan(
            drop=drop,
            reason=str(spec.unknown_compute(known)),
            what_to_do="Name an existing compute, or leave the key out.",
        )

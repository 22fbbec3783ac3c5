"""Chooses the model among what a script left. job.yaml's `kedja.register.path` comes before it, in the service.

It is, in this order: the script's own `outputs/model.npz`; the Link that it saved last, or all Links that it saved at
its last step; the only `.npz` file that it wrote to `outputs`; the models in the last snapshot of a Trainer; the only
`.npz` file among those collected.
"""

import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training_job.job import Job
from training_job.launcher.results import trainer_snapshot
from training_job.launcher.results.collection import link, shown
from training_job.launcher.results.saved_files import Kind, SavedFile, files_in, series

OWN_MODEL = "model.npz"
_BY_PREFERENCE = (Kind.NPZ, Kind.HDF5, Kind.PICKLE)


@dataclass(frozen=True)
class Choice:
    """The model: a file or folder in `outputs`, why it is that one, and the files that were made for it."""

    path: Path
    why: str
    made: Sequence[Path] = ()

    def reason(self, outputs: Path) -> str:
        """Return a sentence for the receipt."""
        kind = "folder " if self.path.is_dir() else ""
        return f"The model is {kind}outputs/{self.path.relative_to(outputs).as_posix()}: {self.why}."


@dataclass(frozen=True, kw_only=True)
class Leavings:
    """What a script left. Paths are absolute.

    `saved` has the files that were saved, in their order; `own` those that the script itself wrote to `outputs`;
    `collected` the place in `outputs` of each file that was collected.
    """

    job: Job
    saved: Mapping[Path, SavedFile]
    own: Sequence[Path]
    collected: Mapping[Path, Path] = field(default_factory=dict)

    def place(self, path: Path) -> Path | None:
        """Return where a file is in `outputs`; None if it is not there."""
        return path if path in self.own else self.collected.get(path)

    def kinds(self, path: Path) -> Iterable[Kind]:
        """Return how the file at this place in `outputs` was saved; nothing if it was not."""
        return [record.kind for source, record in self.saved.items() if self.place(source) == path]


def choose(left: Leavings) -> Choice | None:
    """Return the model; None if there is none."""
    own_model = left.job.outputs / OWN_MODEL
    if own_model in left.own:
        return Choice(own_model, "the script wrote it")
    return (
        _of_links(left)
        or _only_npz(left, left.own)
        or _of_snapshot(left)
        or _only_npz(left, [*left.own, *left.collected.values()])
    )


def last_links(saved: Mapping[Path, SavedFile]) -> list[Path]:
    """Return the files of the Links that were saved at the last step: mostly one, several for a GAN.

    A Link that is part of another one of that step does not count. If one of several has a predictor, only that one
    does. If a Link was saved to several files, its last `.npz` counts.
    """
    links = [(path, record) for path, record in saved.items() if record.kind is not Kind.SNAPSHOT]
    if not links:
        return []
    last = links[-1][1]
    files: dict[object, tuple[Path, SavedFile]] = {}
    for path, record in links:
        if (record.process, record.step) != (last.process, last.step):
            continue
        key = record.number or series(path) or path  # without a number, the file's name tells objects apart
        before = files.get(key)
        if before is None or _BY_PREFERENCE.index(record.kind) <= _BY_PREFERENCE.index(before[1].kind):
            files[key] = path, record
    numbers = {record.number for _, record in files.values()}
    parts = {part for _, record in files.values() for part in record.holds}
    whole = [one for one in files.values() if one[1].number not in parts and not one[1].held_by & numbers]
    with_predictor = [path for path, record in whole if record.has_predictor]
    return with_predictor if len(with_predictor) == 1 else [path for path, _ in whole]


def _of_links(left: Leavings) -> Choice | None:
    places = {place: left.saved[path] for path in last_links(left.saved) if (place := left.place(path)) is not None}
    names = ", ".join(dict.fromkeys(record.link for record in places.values()))
    if len(places) == 1:
        return Choice(next(iter(places)), f"the script saved this Link last ({names})")
    return _folder(left, [*places], f"the script saved several Links last ({names})") if places else None


def _folder(left: Leavings, places: Sequence[Path], why: str) -> Choice:
    """Return the folder of these files if no other model is in it, else a new one with hard links to them."""
    folder = places[0].parent
    inside = set(files_in(folder))
    others = [place for path in left.saved if (place := left.place(path)) in inside and place not in places]
    if folder != left.job.outputs and inside.issuperset(places) and not others:
        return Choice(folder, why)
    outputs = left.job.outputs
    new = next(path for path in (outputs / f"model{'' if n == 1 else n}" for n in range(1, 1000)) if not path.exists())
    names = [place.name for place in places]
    made = []
    for place in places:
        is_unique = names.count(place.name) == 1
        made.append(new / (place.name if is_unique else "-".join(place.relative_to(outputs).parts)))
        link(place, made[-1])
    return Choice(new, why, made)


def _of_snapshot(left: Leavings) -> Choice | None:
    snapshots = [path for path, record in left.saved.items() if record.kind is Kind.SNAPSHOT]
    place = left.place(snapshots[-1]) if snapshots else None
    if place is None:
        return None
    try:
        files = trainer_snapshot.take_apart(place, place.with_name(re.sub(r"\.npz$", "", place.name)))
    except (OSError, zipfile.BadZipFile):
        return None
    where = f"the Trainer's last snapshot, {shown(left.job, snapshots[-1])}"
    if len(files) == 1:
        return Choice(files[0], f"it is the model in {where}", files)
    return Choice(files[0].parent, f"it has the {len(files)} models in {where}", files) if files else None


def _only_npz(left: Leavings, places: Iterable[Path]) -> Choice | None:
    found = [place for place in dict.fromkeys(places) if place.suffix == ".npz"]
    if len(found) != 1 or Kind.SNAPSHOT in left.kinds(found[0]):
        return None
    return Choice(found[0], "it is the only .npz file there")

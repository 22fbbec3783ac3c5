"""Names that the service, its storage and its infrastructure share, and names derived from drops."""

import fnmatch
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

from function_app.domain.drop_ref import DropRef

DATA = "data"
SCRIPTS = "scripts"
SNAPSHOTS = "snapshots"
MODELS = "models"
RECEIPTS = "receipts"
DEAD_LETTER = "dead-letter"
CONTAINERS = (DATA, SCRIPTS, SNAPSHOTS, MODELS, RECEIPTS, DEAD_LETTER)

BLOB_EVENTS = "blob-events"
SETTLED_DROPS = "settled-drops"
RUN_EVENTS = "run-events"
QUEUES = (BLOB_EVENTS, SETTLED_DROPS, RUN_EVENTS)

DATA_DATASTORE = "kedja_data"
SNAPSHOTS_DATASTORE = "kedja_snapshots"
CHECKPOINTS_DATASTORE = "workspaceblobstore"
"""The workspace's own datastore: a job's identity may write to no other."""
CHECKPOINTS = "kedja-checkpoints"
"""The folder in CHECKPOINTS_DATASTORE."""

JOB_YAML = "job.yaml"
"""The job spec among an experiment's scripts."""

DEFAULT_ENTRY_SCRIPT = "train.py"
NOTEBOOK_SUFFIX = ".ipynb"
SCRIPT_SUFFIXES = (".py", NOTEBOOK_SUFFIX)
"""How the names of scripts that can be run end."""

ROOT_EXPERIMENT = "_root"
"""The experiment of receipts for files that were dropped outside any folder."""

SLUG_LIMIT = 40

IGNORED = (".*", "~*", "*~", "*.tmp", "*.temp", "*.part", "*.partial", "*.swp", "__pycache__")
"""Patterns (fnmatch, on each part of a path) of files that nobody drops on purpose."""


_IGNORED = re.compile("|".join(map(fnmatch.translate, IGNORED)))


def is_ignored(path: str) -> bool:
    """Return whether a path is ignored: hidden, temporary, or a folder's marker."""
    parts = path.split("/")
    return not parts[-1] or any(map(_IGNORED.match, parts))


def is_notebook(name: str) -> bool:
    """Return whether a script is a Jupyter notebook."""
    return name.endswith(NOTEBOOK_SUFFIX)


def slug(folder: str) -> str:
    """Return the experiment's name for a folder: `[a-z0-9-]`, at most 40 characters and a hash of six.

    The hash is added if the folder's name had to change, so two folders share a slug only if the name of one is the
    slug of the other.
    """
    ascii_text = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:SLUG_LIMIT].strip("-")
    if text and text == folder:
        return text
    suffix = hashlib.sha256(folder.encode()).hexdigest()[:6]
    return f"{text}-{suffix}" if text else f"x-{suffix}"


def drop_id(scripts: Iterable[tuple[str, int, str]], data: Iterable[tuple[str, int, str]], spec: str) -> str:
    """Return the SHA-256, in hex, of a drop's contents.

    Each file is (name, size in bytes, Content-MD5 or ETag); `spec` is the canonical job spec. The default environment
    is not part of it, or an upgrade would train everything again.
    """
    digest = hashlib.sha256()
    for kind, files in (("scripts", scripts), ("data", data)):
        for name, size, content in sorted(files):
            digest.update(f"{kind}\0{name}\0{size}\0{content}\0\n".encode())
    digest.update(spec.encode())
    return digest.hexdigest()


JOB_NAME = re.compile(r"(?P<experiment>[a-z0-9][a-z0-9-]*)-(?P<drop>[0-9a-f]{16})-(?P<number>[0-9]{1,6})")
"""What `job_name` returns."""


def job_name(ref: DropRef, attempt: int) -> str:
    """Return `<slug>-<first 16 digits of the drop id>-<attempt>`: unique in a workspace, at most 67 characters."""
    return f"{ref.experiment}-{ref.drop[:16]}-{attempt}"


MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
"""Allowed names of models."""


def receipt_blob(ref: DropRef) -> str:
    """Return the blob of a receipt."""
    return f"{ref}.json"


def latest_blob(experiment: str) -> str:
    """Return the blob that names an experiment's latest drop."""
    return f"{experiment}/latest.json"


def settling_blob(experiment: str) -> str:
    """Return the marker of an experiment whose folder is settling."""
    return f".settling/{experiment}"


OPEN = ".open/"
"""Prefix of the marks of receipts that are not final."""


def open_blob(ref: DropRef) -> str:
    """Return the mark of a receipt that is not final."""
    return f"{OPEN}{ref}"


def open_prefix(experiment: str) -> str:
    """Return the prefix of the marks of an experiment's receipts that are not final."""
    return f"{OPEN}{experiment}/"


def by_time_blob(received: datetime, ref: DropRef) -> str:
    """Return a name that sorts newest first: seconds are counted down from the year 5138."""
    return f".by-time/{99_999_999_999 - int(received.timestamp()):011d}/{ref}"


def poison_blob(queue: str, message: str) -> str:
    """Return the blob that keeps a poison message."""
    return f".poison/{queue}/{message}.json"


REQUESTS = ".requests/"
"""Prefix, in the container `snapshots`, of job specs that events request, until these are handled."""


def requests_prefix(experiment: str) -> str:
    """Return the prefix of an experiment's requested job specs."""
    return f"{REQUESTS}{experiment}/"


def deleting_blob(experiment: str) -> str:
    """Return the mark of a deletion in progress."""
    return f".deleting/{experiment}"


def deleted_blob(experiment: str, at: datetime) -> str:
    """Return the blob of the permanent record of what a deletion removed; names sort oldest first."""
    return f".deleted/{experiment}/{at:%Y%m%dT%H%M%SZ}.json"


def attempts_blob(ref: DropRef) -> str:
    """Return the blob that keeps how many attempts a deleted receipt had, so that no job name is used twice."""
    return f".attempts/{ref}"


def retired_blob(experiment: str, at: datetime) -> str:
    """Return the blob of the record of what retention deleted."""
    return f".retired/{experiment}/{at:%Y%m%dT%H%M%SZ}.json"


PAUSED_BLOB = ".paused"


def snapshot_prefix(ref: DropRef) -> str:
    """Return the prefix of a drop's snapshot."""
    return f"{ref}/"


def checkpoints_prefix(ref: DropRef) -> str:
    """Return the folder in CHECKPOINTS_DATASTORE that every attempt of a drop resumes from."""
    return f"{CHECKPOINTS}/{ref}/"


def model_prefix(model: str, version: str) -> str:
    """Return the prefix of a model version's files."""
    return f"{model}/{version}/"


def champion_blob(model: str) -> str:
    """Return the blob that names a model's champion."""
    return f"{model}/champion.json"


def owner_blob(model: str) -> str:
    """Return the blob that names a model's owner."""
    return f"{model}/owner.json"

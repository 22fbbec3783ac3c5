"""Names that the service, its storage and its infrastructure agree on, and those derived from what is dropped."""

import fnmatch
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from datetime import datetime

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
"""The workspace's own: a job's identity may write nothing else."""
CHECKPOINTS = "kedja-checkpoints"
"""The folder in it."""

JOB_YAML = "job.yaml"
"""The job spec among an experiment's scripts."""

ROOT_EXPERIMENT = "_root"
"""Where receipts of files lie that were dropped outside of any experiment's folder."""

SLUG_LIMIT = 40

IGNORED = (".*", "~*", "*~", "*.tmp", "*.temp", "*.part", "*.partial", "*.swp", "__pycache__")
"""Patterns (fnmatch, on each part of a path) of files that no one means to drop."""


_IGNORED = re.compile("|".join(map(fnmatch.translate, IGNORED)))


def is_ignored(path: str) -> bool:
    """Return whether a path is one that no one means to drop: hidden, temporary, or a folder's marker."""
    parts = path.split("/")
    return not parts[-1] or any(map(_IGNORED.match, parts))


def slug(folder: str) -> str:
    """Return the experiment's name made from a folder's: `[a-z0-9-]`, at most 40 characters and a hash of six.

    The hash is there when anything had to change, so that two folders share a slug only where one is called as the
    other's slug is.
    """
    ascii_text = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:SLUG_LIMIT].strip("-")
    if text and text == folder:
        return text
    suffix = hashlib.sha256(folder.encode()).hexdigest()[:6]
    return f"{text}-{suffix}" if text else f"x-{suffix}"


def drop_id(scripts: Iterable[tuple[str, int, str]], data: Iterable[tuple[str, int, str]], spec: str) -> str:
    """Return the SHA-256, in hex, of what a drop consists of.

    Each file is (name, size in bytes, Content-MD5 or ETag); `spec` is the canonical job spec. Nothing about the
    environment is part of it, or an upgrade would train everything again.
    """
    digest = hashlib.sha256()
    for kind, files in (("scripts", scripts), ("data", data)):
        for name, size, content in sorted(files):
            digest.update(f"{kind}\0{name}\0{size}\0{content}\0\n".encode())
    digest.update(spec.encode())
    return digest.hexdigest()


JOB_NAME = re.compile(r"(?P<experiment>[a-z0-9][a-z0-9-]*)-(?P<drop>[0-9a-f]{16})-(?P<number>[0-9]{1,6})")
"""What `job_name` makes."""


def job_name(experiment: str, drop: str, attempt: int) -> str:
    """Return `<slug>-<first 16 of the drop id>-<attempt>`, unique in a workspace and at most 67 characters long."""
    return f"{experiment}-{drop[:16]}-{attempt}"


MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
"""What a model may be called."""


def receipt_blob(experiment: str, drop: str) -> str:
    return f"{experiment}/{drop}.json"


def latest_blob(experiment: str) -> str:
    return f"{experiment}/latest.json"


def settling_blob(experiment: str) -> str:
    return f".settling/{experiment}"


def open_blob(experiment: str, drop: str) -> str:
    return f".open/{experiment}/{drop}"


def by_time_blob(received: datetime, experiment: str, drop: str) -> str:
    """Return a name that sorts newest first: seconds are counted down from the year 5138."""
    return f".by-time/{99_999_999_999 - int(received.timestamp()):011d}/{experiment}/{drop}"


def poison_blob(queue: str, message: str) -> str:
    return f".poison/{queue}/{message}.json"


REQUESTS = ".requests/"
"""Where the container `snapshots` has the job specs that events ask for, until they are answered."""


def requests_prefix(experiment: str) -> str:
    return f"{REQUESTS}{experiment}/"


def deleting_blob(experiment: str) -> str:
    """Return what stands for a deletion under way."""
    return f".deleting/{experiment}"


def deleted_blob(experiment: str, at: datetime) -> str:
    """Return where it is told, for good, what was deleted of an experiment; names sort oldest first."""
    return f".deleted/{experiment}/{at:%Y%m%dT%H%M%SZ}.json"


def attempts_blob(experiment: str, drop: str) -> str:
    """Return what stays of a deleted receipt: how many attempts it had, so that a job's name is never used again."""
    return f".attempts/{experiment}/{drop}"


def retired_blob(experiment: str, at: datetime) -> str:
    """Return where it is told what went because its time was over."""
    return f".retired/{experiment}/{at:%Y%m%dT%H%M%SZ}.json"


PAUSED_BLOB = ".paused"


def snapshot_prefix(experiment: str, drop: str) -> str:
    return f"{experiment}/{drop}/"


def checkpoints_prefix(experiment: str, drop: str) -> str:
    """Return the folder in CHECKPOINTS_DATASTORE that every attempt of a drop goes on from."""
    return f"{CHECKPOINTS}/{experiment}/{drop}/"


def model_prefix(model: str, version: str) -> str:
    return f"{model}/{version}/"


def champion_blob(model: str) -> str:
    return f"{model}/champion.json"


def owner_blob(model: str) -> str:
    return f"{model}/owner.json"

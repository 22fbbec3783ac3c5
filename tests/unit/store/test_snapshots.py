import pytest

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.jobspec.schema import parse_job_yaml
from function_app.ports.storage import CopyStatus
from function_app.store.snapshots import ChangedMeanwhile, CopyUnderWay, Snapshots
from tests.unit.memory import MemoryBlobs

DROP = "d" * 64


@pytest.fixture
def drop(blobs: MemoryBlobs) -> Drop:
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"script")
    blobs.upload(naming.SCRIPTS, "Dígits #1/lib/a+b.py", b"module")
    blobs.upload(naming.SCRIPTS, "Dígits #1/job.yaml", b"{}")
    for number in range(150):
        blobs.upload(naming.DATA, f"Dígits #1/{number}.png", b"12", hashed=number > 0)
    return Drop.take(blobs, "Dígits #1")


def test_scripts_are_copied_as_they_were(blobs: MemoryBlobs, drop: Drop) -> None:
    Snapshots(blobs).copy_scripts(drop, DROP)
    prefix = f"{drop.experiment}/{DROP}/scripts/"
    assert blobs.names_in(naming.SNAPSHOTS) == [f"{prefix}{name}" for name in ("job.yaml", "lib/a+b.py", "train.py")]
    assert blobs.read(naming.SNAPSHOTS, f"{prefix}lib/a+b.py").data == b"module"


def test_copying_again_copies_nothing(blobs: MemoryBlobs, drop: Drop) -> None:
    Snapshots(blobs).copy_scripts(drop, DROP)
    before = len(blobs.calls)
    Snapshots(blobs).copy_scripts(drop, DROP)
    assert [call.operation for call in blobs.calls[before:]] == ["list"]


def test_a_script_that_changed_is_not_copied(blobs: MemoryBlobs, drop: Drop) -> None:
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"another")
    with pytest.raises(ChangedMeanwhile, match=r"train\.py changed"):
        Snapshots(blobs).copy_scripts(drop, DROP)
    blobs.delete(naming.SCRIPTS, "Dígits #1/train.py")
    with pytest.raises(ChangedMeanwhile, match=r"train\.py changed"):
        Snapshots(blobs).copy_scripts(drop, DROP)


def test_a_copy_takes_its_time(blobs: MemoryBlobs, drop: Drop) -> None:
    blobs.hold_copies = True
    for _ in range(2):
        with pytest.raises(CopyUnderWay):
            Snapshots(blobs).copy_scripts(drop, DROP)
    blobs.end_copies(CopyStatus.FAILED)
    with pytest.raises(CopyUnderWay):
        Snapshots(blobs).copy_scripts(drop, DROP)
    blobs.end_copies()
    Snapshots(blobs).copy_scripts(drop, DROP)


def test_a_manifest_names_all_and_the_receipt_the_first(blobs: MemoryBlobs, drop: Drop) -> None:
    received = Snapshots(blobs).describe(drop, DROP, entry_script="train.py", ignored=["_SUCCESS"])
    assert (received.scripts, received.data, received.size) == (2, 150, 312)
    assert (received.job_yaml and received.job_yaml.name, received.job_yaml == drop.job_yaml) == ("job.yaml", True)
    assert (len(received.data_files), received.counted_by_etag) == (100, 1)
    manifest = Snapshots(blobs).manifest(drop.experiment, DROP)
    assert (len(manifest.data), manifest.entry_script) == (150, "train.py")
    assert received.manifest == f"snapshots/{drop.experiment}/{DROP}/manifest.json"
    assert Snapshots(blobs).entry_script(drop.experiment, DROP) == "train.py"


def test_hashes_say_whether_data_or_scripts_are_the_same(blobs: MemoryBlobs, drop: Drop) -> None:
    def described() -> tuple[str, str]:
        received = Snapshots(blobs).describe(Drop.take(blobs, "Dígits #1"), DROP, entry_script=None, ignored=[])
        return received.scripts_sha256, received.data_sha256

    scripts, data = described()
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"Script")
    assert described() == (described()[0], data)
    assert described()[0] != scripts


def test_the_job_spec_is_kept_as_it_was_first(blobs: MemoryBlobs, drop: Drop) -> None:
    snapshots, spec = Snapshots(blobs), parse_job_yaml("compute: cpu-cluster\nkedja: {arguments: {epochs: 3}}")
    snapshots.keep_spec(drop, DROP, spec)
    snapshots.keep_spec(drop, DROP, parse_job_yaml("display_name: the same training"))
    assert snapshots.spec(drop.experiment, DROP).canonical() == spec.canonical()

import pytest

from function_app.domain import naming
from function_app.domain.drop import Drop
from function_app.domain.drop_ref import DropRef
from function_app.jobspec.schema import parse_job_yaml
from function_app.ports.storage import CopyStatus
from function_app.store.snapshots import CopyPending, Snapshots, SourceChanged
from tests.unit.memory import MemoryBlobs

DROP = "d" * 64
REF = DropRef(naming.slug("Dígits #1"), DROP)


@pytest.fixture
def drop(blobs: MemoryBlobs) -> Drop:
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"script")
    blobs.upload(naming.SCRIPTS, "Dígits #1/lib/a+b.py", b"module")
    blobs.upload(naming.SCRIPTS, "Dígits #1/job.yaml", b"{}")
    for number in range(150):
        blobs.upload(naming.DATA, f"Dígits #1/{number}.png", b"12", hashed=number > 0)
    return Drop.list_drop(blobs, "Dígits #1")


def test_scripts_are_copied_as_they_were(blobs: MemoryBlobs, drop: Drop) -> None:
    Snapshots(blobs).copy_scripts(drop, REF)
    prefix = f"{drop.experiment}/{DROP}/scripts/"
    assert blobs.names_in(naming.SNAPSHOTS) == [f"{prefix}{name}" for name in ("job.yaml", "lib/a+b.py", "train.py")]
    assert blobs.read(naming.SNAPSHOTS, f"{prefix}lib/a+b.py").data == b"module"


def test_copying_again_copies_nothing(blobs: MemoryBlobs, drop: Drop) -> None:
    Snapshots(blobs).copy_scripts(drop, REF)
    before = len(blobs.calls)
    Snapshots(blobs).copy_scripts(drop, REF)
    assert [call.operation for call in blobs.calls[before:]] == ["list"]


def test_a_script_that_changed_is_not_copied(blobs: MemoryBlobs, drop: Drop) -> None:
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"another")
    with pytest.raises(SourceChanged, match=r"train\.py changed"):
        Snapshots(blobs).copy_scripts(drop, REF)
    blobs.delete(naming.SCRIPTS, "Dígits #1/train.py")
    with pytest.raises(SourceChanged, match=r"train\.py changed"):
        Snapshots(blobs).copy_scripts(drop, REF)


def test_a_copy_takes_its_time(blobs: MemoryBlobs, drop: Drop) -> None:
    blobs.hold_copies = True
    for _ in range(2):
        with pytest.raises(CopyPending):
            Snapshots(blobs).copy_scripts(drop, REF)
    blobs.end_copies(CopyStatus.FAILED)
    with pytest.raises(CopyPending):
        Snapshots(blobs).copy_scripts(drop, REF)
    blobs.end_copies()
    Snapshots(blobs).copy_scripts(drop, REF)


def test_a_manifest_names_all_and_the_receipt_the_first(blobs: MemoryBlobs, drop: Drop) -> None:
    received = Snapshots(blobs).write_manifest(drop, REF, entry_script="train.py", ignored=["_SUCCESS"])
    assert (received.scripts, received.data, received.size) == (2, 150, 312)
    assert (received.job_yaml and received.job_yaml.name, received.job_yaml == drop.job_yaml) == ("job.yaml", True)
    assert (len(received.data_files), received.counted_by_etag) == (100, 1)
    manifest = Snapshots(blobs).manifest(REF)
    assert (len(manifest.data), manifest.entry_script) == (150, "train.py")
    assert received.manifest == f"snapshots/{drop.experiment}/{DROP}/manifest.json"
    assert Snapshots(blobs).entry_script(REF) == "train.py"


def test_hashes_say_whether_data_or_scripts_are_the_same(blobs: MemoryBlobs, drop: Drop) -> None:
    def described() -> tuple[str, str]:
        received = Snapshots(blobs).write_manifest(
            Drop.list_drop(blobs, "Dígits #1"), REF, entry_script=None, ignored=[]
        )
        return received.scripts_sha256, received.data_sha256

    scripts, data = described()
    blobs.upload(naming.SCRIPTS, "Dígits #1/train.py", b"Script")
    assert described() == (described()[0], data)
    assert described()[0] != scripts


def test_the_job_spec_is_kept_as_it_was_first(blobs: MemoryBlobs, drop: Drop) -> None:
    snapshots, spec = Snapshots(blobs), parse_job_yaml("compute: cpu-cluster\nkedja: {arguments: {epochs: 3}}")
    snapshots.save_spec(REF, spec)
    snapshots.save_spec(REF, parse_job_yaml("display_name: the same training"))
    assert snapshots.spec(REF).canonical() == spec.canonical()

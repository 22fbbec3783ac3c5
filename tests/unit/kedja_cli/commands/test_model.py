import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath, PureWindowsPath
from typing import Any

import httpx
import pytest
from pytest_mock import MockerFixture

from function_app.domain.naming import slug
from kedja_cli.errors import Exit
from kedja_cli.files.download_path import target_paths
from kedja_cli.files.downloader import PIECE
from tests.unit.kedja_cli.conftest import Run
from tests.unit.kedja_cli.fake_service import FakeService, problem
from tests.unit.kedja_cli.fake_storage import FakeStorage, broken, md5

VERSION = {
    "model": "digits",
    "version": "2",
    "champion": True,
    "metrics": {"loss": 0.1, "accuracy": 0.97},
    "created": None,
    "job": "digits-3945c53ddec95d53-1",
}
FILES = "GET /api/models/digits/champion/files"


def listing(storage: FakeStorage, **files: bytes) -> dict[str, Any]:
    items = []
    for name, content in files.items():
        path = name.replace("__", "/")
        storage.blobs[f"/models/digits/2/{path}"] = content
        items.append(
            {
                "path": path,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "md5": None,
                "url": f"http://storage.test/models/digits/2/{path}?sig=x",
            }
        )
    return {"model": "digits", "version": "2", "items": items}


def test_models_are_listed_with_their_champion(run: Run, service: FakeService) -> None:
    service.routes["GET /api/models"] = {"items": [VERSION], "next": None}
    assert run("models").stdout == "digits:2\tchampion\taccuracy 0.97, loss 0.1\t\tdigits-3945c53ddec95d53-1\n"


def test_one_model_is_listed_by_its_versions(run: Run, service: FakeService) -> None:
    service.routes["GET /api/models/digits"] = {"model": "digits", "versions": [VERSION, VERSION]}
    assert len(run("models", "digits", "-L", "1").stdout.splitlines()) == 1
    assert json.loads(run("models", "digits", "--json").stdout)["model"] == "digits"


def test_version_is_promoted(run: Run, service: FakeService) -> None:
    service.routes["PUT /api/models/digits/champion"] = VERSION
    assert run("promote", "digits:2", "-m", "better").stdout == "digits:2 is the champion\n"
    assert service.sent("PUT /api/models/digits/champion") == [{"version": "2", "reason": "better"}]


@pytest.mark.parametrize("text", ["digits", "digits@champion", "digits:two", "a/b:1"])
def test_promote_needs_a_version(run: Run, service: FakeService, text: str) -> None:
    assert run("promote", text).exit_code == Exit.USAGE
    assert service.requests == []


def test_champion_is_rolled_back(run: Run, service: FakeService) -> None:
    service.routes["POST /api/models/digits/champion/rollback"] = [VERSION, problem(409, "There is none before.")]
    assert run("rollback", "digits").exit_code == 0
    assert run("rollback", "digits").exit_code == Exit.FAILED


OWNER = {"model": "digits", "owner": "digits", "allowed": ["team-a"], "since": None, "by": None}
SHARING = "PUT /api/models/digits/owner"


def owned(service: FakeService, *allowed: str) -> None:
    """Have a model that is shared with some, and an ETag of that."""
    found = httpx.Response(200, json={**OWNER, "allowed": list(allowed)}, headers={"ETag": '"one"'})
    service.routes["GET /api/models/digits/owner"] = found
    service.routes[SHARING] = OWNER


def test_share_shows_whose_a_model_is(run: Run, service: FakeService) -> None:
    owned(service, "team-a", "vision-*")
    assert run("share", "digits").stdout == "model        digits\nowner        digits\nshared with  team-a, vision-*\n"
    assert json.loads(run("share", "digits", "--json").stdout)["owner"] == "digits"
    owned(service)
    assert "nobody" in run("share", "digits").stdout
    assert service.sent(SHARING) == []


def test_share_adds_and_removes_what_was_read(run: Run, service: FakeService) -> None:
    owned(service, "team-b", "angstrom-16c0e5")
    result = run("share", "digits", "--with", "team-a", "--with", "vision-*", "--remove", "team-b")
    assert result.stdout.splitlines()[-1] == "shared with  team-a"
    assert service.sent(SHARING) == [{"allowed": ["angstrom-16c0e5", "team-a", "vision-*"]}]
    assert service.requests[-1].headers["If-Match"] == '"one"'


def test_share_removes_an_experiment_by_its_folders_name(run: Run, service: FakeService) -> None:
    owned(service, slug("Ångström"), "team-a")
    assert run("share", "digits", "--remove", "Ångström").exit_code == 0
    assert service.sent(SHARING) == [{"allowed": ["team-a"]}]


def test_share_does_not_remove_what_is_not_there(run: Run, service: FakeService) -> None:
    owned(service, "vision-*")
    result = run("share", "digits", "--remove", "vision-1")
    assert (result.exit_code, service.sent(SHARING)) == (Exit.FAILED, [])
    assert "digits is not shared with vision-1" in result.stderr


def test_share_reads_again_what_another_has_changed(run: Run, service: FakeService) -> None:
    owned(service, "team-b")
    service.routes[SHARING] = [problem(412, "It has changed since it was read."), OWNER]
    assert run("share", "digits", "--with", "team-a").exit_code == 0
    assert len(service.sent(SHARING)) == 2
    service.routes[SHARING] = problem(412, "It has changed since it was read.")
    assert run("share", "digits", "--with", "team-a").exit_code == Exit.FAILED


def test_share_says_what_the_service_refuses(run: Run, service: FakeService) -> None:
    assert run("share", "nobodys", "--with", "team-a").exit_code == Exit.NOT_FOUND
    owned(service)
    service.routes[SHARING] = problem(403, "This requires the role `code`.")
    assert run("share", "digits", "--with", "team-a").exit_code == Exit.NOT_ALLOWED


def test_download_writes_every_file_and_prints_the_folder(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    large = bytes(PIECE) + b"end"
    service.routes[FILES] = listing(storage, **{"model.npz": b"weights", "plots__a.png": large, "empty": b""})
    result = run("download", "digits")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "digits-2\n"
    assert "digits:2: 3 files, 8.0 MiB, verified" in result.stderr
    found = {
        str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.glob("digits-2/**/*") if path.is_file()
    }
    assert found == {"digits-2/model.npz": b"weights", "digits-2/plots/a.png": large, "digits-2/empty": b""}


def test_download_reads_every_page_of_the_files(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    whole = listing(storage, a=b"one", b=b"two", c=b"three")
    pages = [{**whole, "items": [item], "next": after} for item, after in zip(whole["items"], "xy", strict=False)]
    service.routes[FILES] = [*pages, {**whole, "items": whole["items"][2:], "next": None}]
    result = run("download", "digits")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in (tmp_path / "digits-2").iterdir()) == ["a", "b", "c"]
    asked = [dict(request.url.params) for request in service.requests]
    assert asked == [{"limit": "1000"}, {"limit": "1000", "after": "x"}, {"limit": "1000", "after": "y"}]


def test_download_keeps_correct_files_and_replaces_others(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    service.routes["GET /api/models/digits/2/files"] = listing(storage, a=b"right", b=b"other")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "a").write_bytes(b"right")
    (tmp_path / "to" / "b").write_bytes(b"wrong")
    document = json.loads(run("download", "digits:2", "--to", "to", "--json").stdout)
    assert (document["fetched"], document["unchanged"]) == (1, 1)
    assert (tmp_path / "to" / "b").read_bytes() == b"other"


def test_download_of_other_content_leaves_no_file(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    service.routes[FILES] = listing(storage, a=b"right")
    storage.blobs["/models/digits/2/a"] = b"wrong"
    result = run("download", "digits@champion")
    assert result.exit_code == Exit.FAILED
    assert "a is not what its manifest says" in result.stderr
    assert list((tmp_path / "digits-2").iterdir()) == []


def test_interrupted_download_continues_with_the_missing_pieces(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    content = b"a" * PIECE + b"b" * PIECE + b"c"
    service.routes[FILES] = listing(storage, a=content)
    storage.faults = [404]
    assert run("download", "digits").exit_code == Exit.FAILED
    assert not (tmp_path / "digits-2" / "a").exists()
    there = len((tmp_path / "digits-2" / ".a.pieces").read_text().splitlines()) - 1
    storage.requests.clear()
    assert run("download", "digits").exit_code == 0
    assert len(storage.requests) == 3 - there
    assert (tmp_path / "digits-2" / "a").read_bytes() == content
    assert [path.name for path in (tmp_path / "digits-2").iterdir()] == ["a"]


def test_file_without_sha256_is_compared_by_md5(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    document = listing(storage, a=b"right")
    document["items"][0] |= {"sha256": None, "md5": md5(b"right")}
    service.routes[FILES] = document
    assert run("download", "digits").exit_code == 0


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_download_stays_in_its_folder(run: Run, service: FakeService, storage: FakeStorage, path: str) -> None:
    document = listing(storage, a=b"x")
    document["items"][0]["path"] = path
    service.routes[FILES] = document
    result = run("download", "digits")
    assert result.exit_code == Exit.FAILED
    assert "nothing was downloaded" in result.stderr
    assert storage.requests == []


@pytest.mark.parametrize("path", ["C:/Users/evil.exe", "c:evil", "a:stream", "NUL", "a/con.txt"])
def test_download_stays_in_its_folder_on_windows(
    run: Run, service: FakeService, storage: FakeStorage, mocker: MockerFixture, path: str
) -> None:
    def as_on_windows(folder: PurePath, names: Iterable[str]) -> Sequence[PurePath]:
        return target_paths(PureWindowsPath(folder), names)

    mocker.patch("kedja_cli.files.downloader.target_paths", as_on_windows)
    document = listing(storage, a=b"x")
    document["items"][0]["path"] = path
    service.routes[FILES] = document
    result = run("download", "digits")
    assert result.exit_code == Exit.FAILED
    assert "nothing was downloaded" in result.stderr
    assert storage.requests == []


@pytest.mark.parametrize("link", ["plots", "plots/a.png", "plots/.a.png.part", "plots/.a.png.pieces"])
def test_download_writes_through_no_link_that_leads_out(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path, link: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    place = tmp_path / "digits-2" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside if link == "plots" else outside / "file")
    service.routes[FILES] = listing(storage, **{"plots__a.png": b"x"})
    result = run("download", "digits")
    assert result.exit_code == Exit.FAILED
    assert "outside of digits-2" in result.stderr
    assert list(outside.iterdir()) == []


def test_download_refuses_a_version_that_is_not_a_folder_name(
    run: Run, service: FakeService, storage: FakeStorage, tmp_path: Path
) -> None:
    service.routes[FILES] = listing(storage, a=b"x") | {"version": "/../../evil"}
    assert run("download", "digits").exit_code == Exit.FAILED
    assert storage.requests == []


def test_storage_that_does_not_answer_is_named(run: Run, service: FakeService, storage: FakeStorage) -> None:
    service.routes[FILES] = listing(storage, a=b"x")
    storage.faults = [broken()]
    result = run("download", "digits")
    assert "a: storage does not answer at storage.test (ProtocolError)." in result.stderr
    assert "sig=" not in result.stderr

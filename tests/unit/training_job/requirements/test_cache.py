"""The cache of venvs: used again, built once, rebuilt if damaged, and bounded."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.training_job.requirements import index as packages
from training_job.requirements import cache as caches
from training_job.requirements import venv
from training_job.requirements.cache import Cache
from training_job.requirements.job_packages import JobPackages
from training_job.requirements.outcome import Failure, Outcome

Prepare = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_locks_are_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    held: list[object] = []
    monkeypatch.setattr(caches, "_held", held)
    yield
    release(held)


def release(held: list[object] | None = None) -> None:
    """Do what the end of the processes that use venvs does."""
    locks = caches._held if held is None else held
    while locks:
        locks.pop().close()  # type: ignore[attr-defined] # a file


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", max_bytes=2500)


@pytest.fixture
def built() -> list[Path]:
    return []


@pytest.fixture
def build(built: list[Path]) -> Callable[[Path], Outcome]:
    def make(folder: Path) -> Outcome:
        built.append(folder)
        venv.create(folder, [])
        (venv.packages(folder) / "module.py").write_text("#" * 1000)
        return Outcome(file="requirements.txt", installed={"module": "1"})

    return make


def failing(build: Callable[[Path], Outcome], **installed: str) -> Callable[[Path], Outcome]:
    def make(folder: Path) -> Outcome:
        failure = Failure(file="requirements.txt", asked="lost==1", name="lost", reason="gone")
        build(folder)
        return Outcome(file="requirements.txt", installed=installed, failures=[failure])

    return make


def test_the_same_lines_are_installed_once(
    index: Path,
    top: Path,
    tmp_path: Path,
    prepare: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    imported: Callable[[str], str],
) -> None:
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "cache"))
    packages.sdist(index, "kedja_helper", "1.0", check=packages.NEVER)
    packages.wheel(index, "kedja_helper", "2.0")
    first = prepare("kedja-helper==1.0\n")
    for path in index.iterdir():
        path.rename(path.with_suffix(".away"))
    second = prepare("kedja-helper==1.0\n")
    assert first == second
    assert second.notes() == ["requirements.txt: kedja-helper==1.0 became kedja-helper 2.0"]
    assert (
        imported("import kedja_helper, numpy, sys; print(kedja_helper.VERSION, sys.prefix)")
        == f"2.0 {top / '.kedja/venv'}"
    )
    assert prepare("kedja-helper==1.1\n").installed == {}


@pytest.mark.usefixtures("index")
def test_a_dropped_project_is_installed_for_its_job_alone(
    top: Path, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "cache"))
    packages.project(top / "lib", "kedja_project")
    assert prepare("./lib\n").installed == {"kedja-project": "1.0"}
    assert not JobPackages(top / ".kedja").cached.exists()


def test_a_cache_that_cannot_be_written_is_done_without(
    index: Path, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "file/cache"))
    packages.wheel(index, "kedja_helper")
    assert prepare("kedja-helper\n").installed == {"kedja-helper": "1.0"}


@pytest.mark.parametrize("damage", ["truncated", "removed", "added", "no python", "no outcome", "no record", "no json"])
def test_a_damaged_venv_is_built_anew(
    cache: Cache, build: Callable[[Path], Outcome], built: list[Path], damage: str
) -> None:
    cache.get("a", build)
    release()
    entry = cache.folder / "a"
    module = venv.packages(entry) / "module.py"
    match damage:
        case "truncated":
            module.write_text("#")
        case "removed":
            module.unlink()
        case "added":
            module.with_name("other.py").touch()
        case "no python":
            venv.python(entry).unlink()
        case "no outcome":
            (entry / "kedja-outcome.json").unlink()
        case "no record":
            (entry / "kedja-record.json").unlink()
        case "no json":
            (entry / "kedja-outcome.json").write_text("{")
    found = cache.get("a", build)
    assert found is not None
    assert (len(built), found.folder, module.stat().st_size) == (2, entry, 1000)


def test_bytecode_is_no_damage(cache: Cache, build: Callable[[Path], Outcome], built: list[Path]) -> None:
    cache.get("a", build)
    bytecode = venv.packages(cache.folder / "a") / "__pycache__"
    bytecode.mkdir()
    (bytecode / "module.pyc").touch()
    cache.get("a", build)
    assert len(built) == 1


def test_a_damaged_venv_in_use_is_left_to_its_job(cache: Cache, build: Callable[[Path], Outcome]) -> None:
    cache.get("a", build)
    module = venv.packages(cache.folder / "a") / "module.py"
    module.write_text("#")
    assert cache.get("a", build) is None
    assert module.read_text() == "#"


def test_a_build_that_was_killed_leaves_nothing_that_is_used(cache: Cache, build: Callable[[Path], Outcome]) -> None:
    def killed(folder: Path) -> Outcome:
        build(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("a", killed)
    assert not (cache.folder / "a").exists()
    part = cache.folder / "a.part"
    part.mkdir()
    (part / "left").touch()
    assert cache.get("a", build) is not None
    assert not (cache.folder / "a/left").exists()


def test_two_jobs_at_once_build_once(cache: Cache, build: Callable[[Path], Outcome], built: list[Path]) -> None:
    together = threading.Barrier(2)

    def get() -> None:
        together.wait()
        cache.get("a", build)

    threads = [threading.Thread(target=get) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_the_least_recently_used_are_removed(cache: Cache, build: Callable[[Path], Outcome]) -> None:
    for age, key in enumerate("ab"):
        cache.get(key, build)
        os.utime(cache.folder / key / "kedja-record.json", (age, age))
    cache.get("a", build)
    release()
    cache.get("c", build)
    assert {key for key in "abc" if (cache.folder / key).exists()} == {"a", "c"}


def test_a_venv_in_use_is_not_removed(cache: Cache, build: Callable[[Path], Outcome]) -> None:
    for key in "abc":
        cache.get(key, build)
    assert all((cache.folder / key).exists() for key in "abc")


def test_the_lock_ends_with_the_process_that_holds_it(cache: Cache, build: Callable[[Path], Outcome]) -> None:
    cache.get("a", build)
    release()
    code = (
        "import sys, pathlib; from training_job.requirements.cache import Cache; "
        "Cache(pathlib.Path(sys.argv[1])).get('a', None); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, cache.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[4],
    ) as user:  # fmt: skip
        assert user.stdout is not None
        user.stdout.readline()
        with (cache.folder / "a.use.lock").open("ab") as lock:
            with pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            user.kill()
            user.wait()
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_downloads_are_limited_too(
    index: Path, tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", max_bytes=0)
    monkeypatch.setattr(Cache, "from_environment", lambda: cache)
    packages.wheel(index, "kedja_helper", modules={"kedja_helper.py": "", "large.py": "#" * 10_000})
    assert not cache.has_many_downloads()
    assert prepare("kedja-helper\n").installed == {"kedja-helper": "1.0"}
    assert not list(cache.downloads.rglob("large.py"))


def test_what_could_not_be_installed_is_tried_again_after_a_day(
    cache: Cache, build: Callable[[Path], Outcome], built: list[Path]
) -> None:
    cache.get("a", failing(build, module="1"))
    cache.get("a", build)
    assert len(built) == 1
    record = cache.folder / "a/kedja-record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"built": 0.0}))
    release()
    found = cache.get("a", build)
    assert found is not None
    assert (len(built), found.outcome.failures) == (2, [])


def test_a_list_of_which_nothing_was_installed_is_not_kept(
    cache: Cache, build: Callable[[Path], Outcome], built: list[Path]
) -> None:
    for _ in range(2):
        found = cache.get("a", failing(build))
        assert found is not None
        assert (found.folder, bool(found.outcome.failures)) == (None, True)
    assert len(built) == 2


def test_a_missing_package_has_the_venv_built_anew(
    cache: Cache, build: Callable[[Path], Outcome], built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(cache.folder))
    found = cache.get("a", failing(build, module="1"))
    release()
    assert found is not None
    job = JobPackages(tmp_path)
    found.outcome.save(job.outcome_file)
    job.key_file.write_text("a")
    assert job.explain("ModuleNotFoundError: x", "other") == "ModuleNotFoundError: x"
    cache.get("a", build)
    release()
    assert len(built) == 1
    assert job.explain("ModuleNotFoundError: x", "lost") == (
        "ModuleNotFoundError: x: requirements.txt asks for lost==1, which could not be installed: gone"
    )
    cache.get("a", build)
    assert len(built) == 2

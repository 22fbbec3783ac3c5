"""A Trainer script that is interrupted and started again continues, with the same weights at the end."""

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chainer
import numpy as np
import pytest
from chainer.backends import cuda
from chainer.training import StandardUpdater, Trainer

from tests.unit.training_job.drops import Drop, Ended, manifest_of
from training_job import random_state
from training_job.checkpoints import Checkpoint, Store
from training_job.hooks import resuming
from training_job.sigterm import Termination

SCRIPT = """
    import os, random, select, signal, sys, time
    import chainer, numpy as np
    import chainer.functions as F
    import chainer.links as L
    from chainer import training
    from chainer.training import extensions

    class Network(chainer.Chain):
        def __init__(self):
            super().__init__()
            with self.init_scope():
                self.first = L.Linear(None, 8)
                self.norm = L.BatchNormalization(8)
                self.last = L.Linear(8, 2)
        def forward(self, x):
            return self.last(F.dropout(F.relu(self.norm(self.first(x))), 0.3))

    random.seed(0)
    np.random.seed(0)
    x = np.random.rand(50, 4).astype(np.float32)
    data = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    noisy = chainer.datasets.TransformDataset(data, lambda one: (one[0] + np.float32(random.random()), one[1]))
    sampler = chainer.iterators.ShuffleOrderSampler(np.random.RandomState(5))
    train = {iterator}
    test = chainer.iterators.SerialIterator(data, 10, repeat=False, shuffle=False)
    model = L.Classifier(Network())
    optimizer = chainer.optimizers.Adam().setup(model)
    trainer = training.Trainer(training.StandardUpdater(train, optimizer), (12, "epoch"), out="outputs")
    trainer.extend(extensions.Evaluator(test, model))
    trainer.extend(extensions.ExponentialShift("alpha", 0.9), trigger=(1, "epoch"))
    trainer.extend(extensions.LogReport(trigger=(7, "iteration")))
    {more}

    ready, wake = os.pipe()
    os.set_blocking(wake, False)

    @training.make_extension(trigger=(1, "iteration"))
    def hold(trainer):
        is_held = str(trainer.updater.iteration) == os.environ.get("HOLD_AT")
        if is_held:
            signal.set_wakeup_fd(wake)
        print("iteration", trainer.updater.iteration, flush=True)
        if is_held:
            assert select.select([ready], [], [], 60)[0], "no signal came"
        optimizer.eps = 1e-8 * (1 + trainer.updater.iteration)

    trainer.extend(hold, name="hold")
    trainer.run()
    chainer.serializers.save_npz("outputs/model.npz", model)
    """
SERIAL = "chainer.iterators.SerialIterator(noisy, 10, order_sampler=sampler)"
SNAPSHOTS = 'trainer.extend(extensions.snapshot(autoload=True), trigger=(10, "iteration"))'
SLOW = pytest.mark.slow
# Beside this Python, where its packages bring it, or on the path.
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def script(more: str = "", iterator: str = SERIAL) -> str:
    return SCRIPT.format(more=more, iterator=iterator)


class Killed:
    """A job that is ended from outside, and started again in its folder."""

    def __init__(self, drop: Drop, more: str = "", *, iterator: str = SERIAL, shell: str | None = None) -> None:
        drop.scripts = {"train.py": script(more, iterator)}
        drop.write()
        self.shell = shell
        self.drop = drop
        self.folder = drop.root / "job"

    def start(self, **environment: str) -> subprocess.Popen[str]:
        self.folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            self.drop.command("python", "train.py", shell=self.shell),
            cwd=self.folder,
            env=self.drop.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, number: int, *, after: int, **environment: str) -> tuple[int, str]:
        """Send a signal in an iteration, in which the script waits for it; return exit code and errors."""
        process = self.start(HOLD_AT=str(after), **environment)
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == f"iteration {after}":
                break
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a run that nobody interrupts, and that keeps no checkpoint on the way."""
    drop = Drop(tmp_path_factory.mktemp("straight"), {"train.py": script()})
    ended = drop.launch("python", "train.py")
    assert ended.code == 0, ended.errors
    return ended.folder / "outputs/model.npz"


def same(one: Path, other: Path) -> bool:
    with np.load(one) as first, np.load(other) as second:
        assert sorted(first.files) == sorted(second.files)
        return all(np.array_equal(first[name], second[name]) for name in first.files)


def again(job: Killed, **environment: str) -> Ended:
    return job.drop.launch("python", "train.py", **environment)


@pytest.mark.parametrize("after", [pytest.param(1, marks=SLOW), 23, pytest.param(59, marks=SLOW)])
def test_sigterm_makes_a_checkpoint_at_the_end_of_the_iteration(drop: Drop, straight: Path, after: int) -> None:
    job = Killed(drop)
    code, errors = job.end(signal.SIGTERM, after=after)
    assert code == 128 + signal.SIGTERM
    assert "kedja: SIGTERM: ended after iteration" in errors
    written = manifest_of(job.folder)
    assert (written["result"], written["signal"], written["exit_code"]) == ("failed", "SIGTERM", 143)
    ended = again(job)
    assert ended.code == 0, ended.errors
    assert "kedja: continuing from the checkpoint of iteration" in ended.errors
    assert int(ended.output.split()[1]) == after + 1
    assert same(ended.folder / "outputs/model.npz", straight)


@pytest.mark.slow
def test_sigterm_leaves_the_workers_of_an_iterator_to_the_script(drop: Drop) -> None:
    # Slow, so that the workers are at work when the signal comes: a pool whose worker is lost then waits for ever.
    slow = "chainer.datasets.TransformDataset(noisy, lambda one: time.sleep(0.05 * ('HOLD_AT' in os.environ)) or one)"
    job = Killed(drop, iterator=f"chainer.iterators.MultiprocessIterator({slow}, 10, n_processes=2)")
    code, errors = job.end(signal.SIGTERM, after=5)
    assert (code, "kedja: SIGTERM: ended after iteration 5" in errors) == (128 + signal.SIGTERM, True), errors
    ended = again(job)
    assert (ended.code, ended.output.splitlines()[0]) == (0, "iteration 6"), ended.errors


@pytest.mark.parametrize(
    "line", ["python train.py && echo done", pytest.param("(true; python train.py) && echo done", marks=SLOW)]
)
def test_sigterm_reaches_what_a_shell_runs(drop: Drop, straight: Path, line: str) -> None:
    job = Killed(drop, shell=line)
    code, errors = job.end(signal.SIGTERM, after=23)
    assert (code, "kedja: SIGTERM: ended after iteration 23" in errors) == (128 + signal.SIGTERM, True), errors
    assert manifest_of(job.folder)["signal"] == "SIGTERM"
    ended = drop.launch(shell=line)
    assert (ended.output.splitlines()[0], ended.output.splitlines()[-1]) == ("iteration 24", "done"), ended.errors
    assert same(ended.folder / "outputs/model.npz", straight)


def test_sigkill_goes_on_from_the_last_checkpoint(drop: Drop, straight: Path) -> None:
    job = Killed(drop)
    for after in (10, 20, 37):
        code, _ = job.end(signal.SIGKILL, after=after, KEDJA_CHECKPOINT_SECONDS="0")
        assert code == -signal.SIGKILL
        assert not (job.folder / "outputs/.kedja-manifest.json").exists()
    ended = again(job)
    assert int(ended.output.split()[1]) > 1, ended.output
    assert same(ended.folder / "outputs/model.npz", straight)
    assert not list(job.folder.glob(".kedja/checkpoints/*"))


def test_a_snapshot_of_the_script_is_a_checkpoint_too(drop: Drop, straight: Path) -> None:
    job = Killed(drop, more=SNAPSHOTS)
    job.end(signal.SIGKILL, after=25)
    (job.folder / "outputs/snapshot_iter_20").write_bytes(b"cut off")
    ended = again(job)
    assert "continuing from the checkpoint of iteration 20" in ended.errors
    assert same(ended.folder / "outputs/model.npz", straight)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(drop: Drop, straight: Path) -> None:
    job = Killed(drop, more=SNAPSHOTS)
    job.end(signal.SIGKILL, after=25)
    older, newer = sorted(job.folder.glob(".kedja/checkpoints/*/*/checkpoint-*.npz"))
    newer.write_bytes(newer.read_bytes()[:-200])
    ended = again(job)
    assert f"{newer.name} is damaged and is skipped" in ended.errors
    assert f"checkpoint of iteration {int(older.stem.split('-')[1])}" in ended.errors
    assert same(ended.folder / "outputs/model.npz", straight)


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_passed_over(drop: Drop) -> None:
    job = Killed(drop)
    job.end(signal.SIGTERM, after=5)
    job.drop.scripts = {"train.py": job.drop.scripts["train.py"].replace("None, 8", "None, 9").replace("(8", "(9")}
    ended = again(job)
    assert ended.code == 0, ended.errors
    assert "is skipped: its updater/" in ended.errors
    assert ended.output.startswith("iteration 1\n")


@pytest.mark.slow
def test_checkpoints_can_be_kept_where_another_node_finds_them(drop: Drop, straight: Path) -> None:
    job = Killed(drop)
    kept = str(drop.root / "kept")
    job.end(signal.SIGTERM, after=20, KEDJA_CHECKPOINTS=kept)
    job.folder.rename(drop.root / "lost node")
    ended = again(job, KEDJA_CHECKPOINTS=kept)
    assert "continuing from" in ended.errors
    assert same(ended.folder / "outputs/model.npz", straight)
    assert "main/loss" in ended.metrics


@pytest.mark.slow
def test_a_training_that_was_over_is_not_repeated(drop: Drop, straight: Path) -> None:
    job = Killed(drop)
    crash = script().replace("    chainer.serializers", "    import os; os.abort()\n    chainer.serializers")
    job.drop.scripts = {"train.py": crash}
    assert again(job).manifest["signal"] == "SIGABRT"
    job.drop.scripts = {"train.py": script()}
    ended = again(job)
    assert (ended.code, ended.output) == (0, "")
    assert same(ended.folder / "outputs/model.npz", straight)
    assert {"accuracy", "validation/main/accuracy", "main/loss"} <= set(ended.metrics)


def test_a_script_with_a_handler_of_its_own_keeps_it(drop: Drop) -> None:
    job = Killed(drop, more="import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))")
    code, _ = job.end(signal.SIGTERM, after=5)
    assert code == 9


@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.usefixtures("generators")
def test_cupys_generator_is_seeded_only_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch, gpus: int) -> None:
    seeds: list[int] = []

    def need_a_gpu(result: Any) -> Any:  # noqa: ANN401 - whatever CuPy returns
        if not gpus:
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return result

    runtime = SimpleNamespace(CUDARuntimeError=RuntimeError, getDeviceCount=lambda: need_a_gpu(gpus))
    generator = SimpleNamespace(seed=lambda seed: seeds.append(need_a_gpu(seed)))
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), random=generator)
    monkeypatch.setattr(cuda, "available", True)
    monkeypatch.setattr(cuda, "cupy", cupy, raising=False)
    notes = {"hyperparameters": {}, "random": random_state.capture(), "metrics": {}}
    trainer = SimpleNamespace(updater=SimpleNamespace())
    resuming._restore_after_initialization(trainer, Checkpoint(iteration=7, arrays={}, notes=notes))
    assert seeds == [7] * gpus


@pytest.fixture
def generators() -> Iterator[None]:
    before = random_state.capture()
    yield
    random_state.restore(before)


@pytest.mark.usefixtures("generators")
def test_generators_go_on_where_they_were() -> None:
    own = np.random.RandomState(3)

    def draw() -> list[Any]:
        return [random.random(), random.gauss(), *np.random.randn(3), own.rand(), own.randn()]  # noqa: NPY002, S311

    draw()
    state = random_state.capture([own])
    drawn = draw()
    random_state.restore(state, [own])
    assert draw() == drawn


def test_a_forked_worker_ends_at_once() -> None:
    with Termination() as termination:
        begun, tell = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.write(tell, b".")
            time.sleep(60)
            os._exit(0)
        os.read(begun, 1)  # Python drops signals that come while it forks
        os.kill(worker, signal.SIGTERM)
        assert os.waitpid(worker, 0)[1] == signal.SIGTERM
        assert not termination.is_requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.is_requested
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.fixture
def trainer() -> Any:  # noqa: ANN401 - Chainer has no types
    model = chainer.links.Classifier(chainer.links.Linear(2, 2))
    optimizer = chainer.optimizers.SGD().setup(model)
    data = chainer.datasets.TupleDataset(np.zeros((4, 2), np.float32), np.zeros(4, np.int32))
    trainer = Trainer(StandardUpdater(chainer.iterators.SerialIterator(data, 2), optimizer))
    trainer._start_at = 0.0  # what a checkpoint holds of a training that has begun
    return trainer


@dataclass
class Ranks:
    """Two ranks' checkpoints, kept and loaded in this process."""

    trainer: Any
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def store(self, rank: int) -> Store:
        return Store(self.folder / f"rank{rank}")

    def keep(self, rank: int, *iterations: int) -> None:
        for iteration in iterations:
            self.trainer.updater.iteration = iteration
            self.store(rank).save(resuming._checkpoint(self.trainer, over=False))

    def load(self, rank: int) -> int:
        """Start a rank; return the iteration from which it continues."""
        self.monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
        self.monkeypatch.setenv("OMPI_COMM_WORLD_RANK", str(rank))
        self.trainer.updater.iteration = 0
        resuming.TrainerCheckpointer(self.trainer, self.folder, Termination())._load()
        return int(self.trainer.updater.iteration)


@pytest.fixture
def two_ranks(trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ranks:  # noqa: ANN401 - as above
    return Ranks(trainer, tmp_path, monkeypatch)


def test_two_preemptions_in_one_epoch_leave_what_the_ranks_share(two_ranks: Ranks) -> None:
    two_ranks.keep(0, 10, 17)
    two_ranks.keep(1, 10, 18)
    assert [two_ranks.load(rank) for rank in (0, 1)] == [10, 10]
    two_ranks.keep(0, 12)
    two_ranks.keep(1, 13)
    assert [two_ranks.load(rank) for rank in (0, 1)] == [10, 10]


def test_a_checkpoint_that_is_damaged_in_one_rank_is_passed_over_in_all(two_ranks: Ranks) -> None:
    for rank in (0, 1):
        two_ranks.keep(rank, 10, 20)
    newest = two_ranks.folder / "rank1/checkpoint-000000000020.npz"
    newest.write_bytes(newest.read_bytes()[:-200])
    assert [two_ranks.load(rank) for rank in (0, 1)] == [10, 10]


def test_ranks_that_share_nothing_say_so_and_begin_anew(two_ranks: Ranks, capsys: pytest.CaptureFixture[str]) -> None:
    two_ranks.keep(0, 17)
    two_ranks.keep(1, 18)
    assert [two_ranks.load(rank) for rank in (0, 1)] == [0, 0]
    assert "rank 0 has checkpoints of iterations 17, and none that every rank has" in capsys.readouterr().err
    for rank in (0, 1):
        two_ranks.keep(rank, 1, 2)
        assert two_ranks.store(rank).iterations() == [2, 1]
    assert [two_ranks.load(rank) for rank in (0, 1)] == [2, 2]


def test_no_change_of_a_byte_in_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.save(Checkpoint(iteration=1, arrays={"a": np.arange(3), "n": None}, notes={"x": 1}))
    content = path.read_bytes()
    read = 0
    for index in range(len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ 0xFF]) + content[index + 1 :])
        read += len(list(store.newest_first()))
    assert 0 < read < len(content) / 2


RANKS = """
    import os
    import chainer, chainermn, numpy as np
    import chainer.links as L
    from chainer import training
    from chainer.training import extensions

    comm = chainermn.create_communicator("naive")
    np.random.seed(comm.rank)
    x = np.random.RandomState(0).rand(80, 4).astype(np.float32)
    data = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    data = chainermn.scatter_dataset(data if comm.rank == 0 else None, comm, shuffle=True, seed=0)
    model = L.Classifier(L.Linear(4, 2))
    optimizer = chainermn.create_multi_node_optimizer(chainer.optimizers.Adam(), comm).setup(model)
    updater = training.StandardUpdater(chainer.iterators.SerialIterator(data, 10), optimizer)
    trainer = training.Trainer(updater, (8, "epoch"), out="outputs")

    @training.make_extension(trigger=(1, "iteration"))
    def crash(trainer):
        if trainer.updater.iteration == 22 and comm.rank == 1 and "CRASH" in os.environ:
            os.kill(os.getpid(), 9)

    trainer.extend(crash, name="crash")
    if comm.rank == 0:
        trainer.extend(extensions.LogReport())
    trainer.run()
    if comm.rank == 0:
        chainer.serializers.save_npz("outputs/model.npz", model)
    """


@pytest.mark.skipif(
    MPIRUN is None or importlib.util.find_spec("mpi4py") is None, reason="needs Open MPI's mpirun, and mpi4py"
)
def test_ranks_go_on_from_the_same_epoch(drop: Drop) -> None:
    drop.scripts = {"train.py": RANKS}
    drop.write()
    mpirun = [str(MPIRUN), "--allow-run-as-root", "--oversubscribe", "-n", "2"]

    def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        folder.mkdir(exist_ok=True)
        return subprocess.run(
            [*mpirun, *drop.command("python", "train.py")], cwd=folder, env=drop.environment(**environment),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    straight, job = drop.root / "straight", drop.root / "job"
    assert run(straight).returncode == 0
    assert run(job, CRASH="1").returncode != 0
    assert not (job / "outputs/model.npz").exists()
    again = run(job)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("continuing from the checkpoint of iteration 20") == 2
    assert same(job / "outputs/model.npz", straight / "outputs/model.npz")
    assert "main/loss" in manifest_of(job)["metrics"]

"""A Trainer script that is interrupted and started again continues, with the same weights at the end."""

import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chainer.backends import cuda

from tests.unit.training_job.drops import Drop, Ended, manifest_of
from tests.unit.training_job.weights import same
from training_job import random_state
from training_job.checkpoints import Checkpoint
from training_job.hooks import resuming

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

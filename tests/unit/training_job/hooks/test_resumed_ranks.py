"""Ranks of a job that are interrupted and started again continue from one iteration."""

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chainer
import numpy as np
import pytest
from chainer.training import StandardUpdater, Trainer

from tests.unit.training_job.drops import Drop, manifest_of
from tests.unit.training_job.weights import same
from training_job.checkpoints import Store
from training_job.hooks import resuming
from training_job.sigterm import Termination

# Beside this Python, where its packages bring it, or on the path.
MPIRUN = shutil.which("mpirun", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


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

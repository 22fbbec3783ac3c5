"""A ChainerMN script, unmodified, on two ranks: mpirun starts `launch` as Azure ML does, or the script's own command.

It needs Open MPI's mpirun, and mpi4py in the Python that jobs train with; without them these tests are skipped.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("KEDJA_TRAINING_PYTHON", ROOT / ".venv-training/bin/python"))
# Beside that Python, where its packages bring it, or on the path.
_FOUND = shutil.which("mpirun", path=os.pathsep.join([str(PYTHON.parent), os.environ.get("PATH", os.defpath)]))
MPIRUN = (_FOUND or "mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2")
SCRIPT = '''
"""As people write it after ChainerMN's own example."""
import argparse

import chainer
import chainer.functions as F
import chainer.links as L
import chainermn
import numpy as np
from chainer import training
from chainer.training import extensions


class Net(chainer.Chain):
    def __init__(self):
        super(Net, self).__init__()
        with self.init_scope():
            self.l1 = L.Linear(None, 8)
            self.l2 = L.Linear(None, 2)

    def __call__(self, x):
        return self.l2(F.relu(self.l1(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--communicator", default="naive")
    parser.add_argument("--fail", type=int, default=-1)
    args = parser.parse_args()
    comm = chainermn.create_communicator(args.communicator)
    if comm.rank == args.fail:
        raise ValueError("no luck")
    np.random.seed(comm.rank)
    model = L.Classifier(Net())
    optimizer = chainermn.create_multi_node_optimizer(chainer.optimizers.Adam(0.05), comm)
    optimizer.setup(model)
    if comm.rank == 0:
        x = np.random.RandomState(0).rand(200, 4).astype(np.float(1).__class__).astype("f")
        data = chainer.datasets.TupleDataset(x, (x[:, 0] > 0.5).astype(np.int32))
    else:
        data = None
    data = chainermn.scatter_dataset(data, comm, shuffle=True, seed=0)
    train = chainer.iterators.MultiprocessIterator(data, 20, n_processes=1)
    test = chainer.iterators.SerialIterator(data, 20, repeat=False, shuffle=False)
    trainer = training.Trainer(training.StandardUpdater(train, optimizer), (10, "epoch"), out="outputs")
    trainer.extend(chainermn.create_multi_node_evaluator(extensions.Evaluator(test, model), comm))
    if comm.rank == 0:
        trainer.extend(extensions.LogReport())
    trainer.run()
    train.finalize()
    weights = comm.gather_obj(model.predictor.l1.W.array.tolist())
    shards = comm.gather_obj((comm.rank, comm.intra_rank, len(data)))
    if comm.rank == 0:
        assert weights[0] == weights[1]
        print("shards", shards)
        chainer.serializers.save_npz("outputs/model.npz", model)


if __name__ == "__main__":
    import multiprocessing

    multiprocessing.set_start_method("forkserver")
    main()
'''


def has_mpi() -> bool:
    if _FOUND is None or not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-c", "import mpi4py.MPI"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not has_mpi(), reason="there is no mpirun, or no mpi4py in the training environment")


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Write the snapshot that Kedja makes of a drop of the script alone."""
    folder = tmp_path / "snapshot"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/train.py").write_text(SCRIPT)
    entry = {"name": "train.py", "size": len(SCRIPT.encode()), "md5": None, "etag": "0x8D"}
    manifest = {"version": 1, "experiment": "mn", "drop": "0" * 64, "scripts": [entry], "data": [], "ignored": []}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "entry_script": "train.py"}))
    (tmp_path / "job").mkdir()
    return folder


def run(folder: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "KEDJA_"))}
    done = subprocess.run(
        command,
        cwd=folder,
        # mpirun kills a rank one second after its SIGTERM; on a busy machine the manifest takes longer.
        env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PRTE_MCA_odls_base_sigkill_timeout": "30"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return done, json.loads((folder / "outputs/.kedja-manifest.json").read_text())


def launch(snapshot: Path) -> tuple[str, ...]:
    return (str(PYTHON), "-m", "training_job.launch", "--snapshot", str(snapshot))


def check(done: subprocess.CompletedProcess[str], manifest: dict[str, Any]) -> None:
    assert done.returncode == 0, done.stderr
    assert manifest["result"] == "completed"
    own = [file["path"] for file in manifest["files"] if not file["path"].startswith("package/")]
    assert sorted(own) == ["log", "model.npz"]
    assert manifest["metrics"]["accuracy"] == manifest["metrics"]["validation/main/accuracy"] > 0.8
    assert done.stdout.count("shards") == 1
    assert "[(0, 0, 100), (1, 1, 100)]" in done.stdout


def test_mpirun_starts_the_job(tmp_path: Path, snapshot: Path) -> None:
    check(*run(tmp_path / "job", *MPIRUN, *launch(snapshot), "--", "python", "-W", "ignore", "train.py"))


def test_the_job_starts_mpirun(tmp_path: Path, snapshot: Path) -> None:
    check(*run(tmp_path / "job", *launch(snapshot), "--", *MPIRUN, "python", "-W", "ignore", "train.py"))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_ends_the_job(tmp_path: Path, snapshot: Path, rank: int) -> None:
    script = ("python", "-W", "ignore", "train.py", "--fail", str(rank))
    done, manifest = run(tmp_path / "job", *MPIRUN, *launch(snapshot), "--", *script)
    assert done.returncode != 0
    assert manifest["result"] == "failed"
    assert "ValueError: no luck" in manifest["reason"]

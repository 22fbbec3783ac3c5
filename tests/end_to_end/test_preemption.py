"""A script whose process is killed from outside, over the whole local stack."""

import contextlib
import re

import psutil

from local_azure.training.job_folder import JOBS
from tests.end_to_end.drops import one
from tests.end_to_end.world import Hold, World, until

EPOCHS = 8
CHAINER_SCRIPT = f"""
import os
import time
import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
from chainer import training
from chainer.training import extensions

rng = np.random.RandomState(0)
x = rng.rand(200, 4).astype(np.float32)
y = (x.sum(axis=1) > 2).astype(np.int32)
model = L.Classifier(L.Linear(4, 2))
optimizer = chainer.optimizers.Adam().setup(model)
iterator = chainer.iterators.SerialIterator(chainer.datasets.TupleDataset(x, y), 50)
trainer = training.Trainer(training.updaters.StandardUpdater(iterator, optimizer), ({EPOCHS}, "epoch"), out="outputs")
trainer.extend(extensions.snapshot(), trigger=(1, "epoch"))


@training.make_extension(trigger=(1, "epoch"))
def tell(trainer):
    print("epoch", trainer.updater.epoch, flush=True)
    while trainer.updater.epoch == 3 and not os.path.exists(GO):
        time.sleep(0.1)


trainer.extend(tell)
print("begins", flush=True)
trainer.run()
chainer.serializers.save_npz("outputs/model.npz", model)
"""


def log_of(world: World, job: str) -> str:
    path = world.stack.state / "training" / JOBS / job / "user_logs" / "std_log.txt"
    return path.read_text(errors="replace") if path.exists() else ""


def script_process(world: World, job: str) -> psutil.Process:
    """Return the process of the script itself, and not one of those around it."""
    work = str((world.stack.state / "training" / JOBS / job / "work").resolve())

    def find() -> psutil.Process | None:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[-1:] == ["train.py"] and "-m" not in process.cmdline() and process.cwd() == work:
                    return process
        return None

    found: psutil.Process = until(find, f"the script of {job}")
    return found


def epochs(log: str) -> list[int]:
    return [int(number) for number in re.findall(r"\bepoch (\d+)", log)]


def test_a_script_that_is_killed_goes_on_from_its_checkpoint(world: World, hold: Hold) -> None:
    spec = b"kedja: {data: none}\n"
    script = f"GO = {str(hold.path)!r}\n{CHAINER_SCRIPT}".encode()
    world.drop({"scripts/preempted/train.py": script, "scripts/preempted/job.yaml": spec})
    first = one(world.wait("preempted", "running"))["attempts"][0]["job"]
    until(lambda: 3 in epochs(log_of(world, first)), "the third epoch")
    script_process(world, first).kill()
    hold.release()

    receipt = one(world.wait("preempted", "registered", "failed", timeout=180))
    assert receipt["status"] == "registered", receipt["reason"]
    killed, last = receipt["attempts"]
    assert (killed["exit_code"], last["number"], receipt["preemptions"]) == (137, 2, 1)
    assert last["why"] == "preempted: the script's process was killed by SIGKILL from outside"
    told = epochs(log_of(world, last["job"]))
    assert told[0] in (3, 4)
    assert told[-1] == EPOCHS
    assert "continuing from the checkpoint" in log_of(world, last["job"])
    assert world.versions("preempted") == ["1"]
    assert world.receiver.wait_for("Kedja.ModelRegistered", "preempted", timeout=30)
    kinds = [event["type"].removeprefix("Kedja.") for event in {e["id"]: e for e in world.events("preempted")}.values()]
    assert sorted(kinds) == ["JobCompleted", "JobSubmitted", "JobSubmitted", "ModelRegistered"]
    assert world.names("azureml", "kedja-checkpoints/preempted/") == []  # nobody resumes a job that is done

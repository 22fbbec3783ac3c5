"""Images per second of the built-in trainer, beside Chainer's own loop, PyTorch and the floor, in one run.

    python benchmarks/training.py [--rounds 9] [--torch-python PYTHON] [--network cnn] [--device 0]

All train the same network (MLP 784-1000-1000-10, or the built-in CNN) with Adam on the same data, batch 128, drawn
anew in random order for each pass:

    kedja    training_job.trainer.loop.Trainer, as `python -m training_job.train` runs it
    chainer  Chainer's example: Trainer, StandardUpdater, SerialIterator
    pytorch  the usual loop, where --torch-python names a Python that has torch; skipped else
    floor    the matrix products of the step and nothing else (MLP)

Each is a process of its own and waits for its turn; a round is one pass of each, one after the other, so that what
else the machine does falls on all. Medians of the rounds are compared; the fastest and the slowest show the noise. On
a machine that is busy with other things, `--threads 1` and the processor's time are what can be compared.
On a GPU, Chainer's example and PyTorch's usual loop draw their batches in the machine's memory and send them;
`resident` is PyTorch with all data on the GPU, as Kedja's trainer keeps it. A pass has ended when the GPU has. How busy
the GPU is comes after the race, over passes of several seconds, as the driver's figure is a mean of one.
OPENBLAS_CORETYPE is left out, as it keeps a current NumPy from the processor's best kernels.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.contestants.training import BATCH, CONTESTANTS, WITH_TORCH, examples  # noqa: E402 - after the path is set

_CONTESTANTS = ROOT / "benchmarks/contestants/training.py"
_SHARE_SECONDS = 1.0  # over which the driver takes its mean, at most


class Contestant:
    """The process of one contestant."""

    def __init__(self, name: str, python: Path, options: argparse.Namespace) -> None:
        self.name = name
        self._examples = examples(options.device)
        self.rates: list[float] = []
        self.processor_rates: list[float] = []
        left_out = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        environment = {key: value for key, value in os.environ.items() if key not in left_out}
        command = [str(python), str(_CONTESTANTS), name, options.network, str(options.device)]
        environment["CHAINER_CUDNN"] = "0"
        if options.threads:
            environment |= {"OPENBLAS_NUM_THREADS": str(options.threads), "OMP_NUM_THREADS": str(options.threads)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._answer() != "ready":
            raise SystemExit(f"{name} does not run; its error stands above")

    def race(self) -> None:
        seconds, processor = self._run_pass()
        self.rates.append(self._examples / seconds)
        self.processor_rates.append(self._examples / processor)

    def keep_busy(self, seconds: float) -> None:
        """Run passes, which do not count, for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._run_pass()

    def _run_pass(self) -> tuple[float, float]:
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)
        seconds, processor = self._answer().split()
        return float(seconds), float(processor)

    def close(self) -> None:
        self._process.communicate()

    @property
    def median(self) -> float:
        return statistics.median(self.rates)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class GpuWatch(threading.Thread):
    """Samples the share of time in which the GPU computes, as the driver says it."""

    def __init__(self, device: int) -> None:
        super().__init__(daemon=True)
        self.shares: list[float] = []
        self._command = ["nvidia-smi", f"--id={device}", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        self._done = threading.Event()

    def run(self) -> None:
        begun = time.monotonic()
        while not self._done.wait(0.2):
            share = float(subprocess.run(self._command, capture_output=True, check=True).stdout) / 100
            if time.monotonic() - begun > _SHARE_SECONDS:
                self.shares.append(share)

    def end(self) -> float | None:
        self._done.set()
        self.join()
        return statistics.mean(self.shares) if self.shares else None


def _busy(contestant: Contestant, device: int) -> float | None:
    watch = GpuWatch(device)
    watch.start()
    contestant.keep_busy(5 * _SHARE_SECONDS)
    return watch.end()


def _versions(python: Path) -> str:
    code = (
        "import importlib.metadata as m, sys\n"
        "found = [sys.version.split()[0]]\n"
        "for p in ('numpy', 'chainer', 'cupy-cuda12x', 'cupy-cuda13x', 'torch'):\n"
        "    try: found.append(p + ' ' + m.version(p))\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(', '.join(found))"
    )
    return "Python " + subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _has_gpu(python: Path) -> bool:
    code = "import training_job; from training_job import device; print(device.usable_gpus())"
    found = subprocess.run([python, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() not in ("", "0")


def main() -> None:
    """Race and print."""
    options = _parse()
    pythons = dict.fromkeys(WITH_TORCH, options.torch_python)
    names = [name for name in CONTESTANTS if name not in WITH_TORCH or options.torch_python]
    if options.device >= 0 and not _has_gpu(options.training_python):
        print("skipped: no GPU can be used here")
        return
    if options.network != "mlp":
        names.remove("floor")
    if options.device < 0 and "resident" in names:
        names.remove("resident")
    if "pytorch" not in names:
        print("pytorch is left out: name a Python that has torch with --torch-python")
    contestants = [Contestant(name, pythons.get(name, options.training_python), options) for name in names]
    for round_number in range(options.rounds):
        turn = round_number % len(contestants)
        for contestant in contestants[turn:] + contestants[:turn]:
            contestant.race()
    shares = {one.name: _busy(one, options.device) for one in contestants if options.device >= 0}
    for contestant in contestants:
        contestant.close()
    _show(contestants, shares, options)


def _show(contestants: list[Contestant], shares: dict[str, float | None], options: argparse.Namespace) -> None:
    network = "784-1000-1000-10" if options.network == "mlp" else "the built-in CNN"
    images = f"{examples(options.device):,} images a pass"
    print(f"{network}, Adam, batch {BATCH}, {images}, {options.rounds} rounds, {platform.machine()}")
    threads = f"{options.threads} thread(s) each" if options.threads else "as many threads as cores"
    print(f"{os.cpu_count()} cores, {threads}, load {os.getloadavg()[0]:.1f}; {_versions(options.training_python)}")
    if options.torch_python:
        print(f"pytorch: {_versions(options.torch_python)}")
    ours, our_processor = contestants[0].median, statistics.median(contestants[0].processor_rates)
    for contestant in contestants:
        rates = contestant.rates
        share = shares.get(contestant.name)
        gpu = "" if share is None else f", GPU busy {share:.0%}"
        processor = statistics.median(contestant.processor_rates)
        print(
            f"{contestant.name:8s} median {contestant.median:7,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f}), "
            f"kedja is {ours / contestant.median:.2f} of it; {processor:7,.0f} images per second of processor, "
            f"kedja is {our_processor / processor:.2f} of it{gpu}"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Images per second of the built-in trainer, beside its peers.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, help="of each contestant's matrix products; as many as cores by default")
    parser.add_argument("--network", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--device", type=int, default=-1, help="number of a GPU; -1, the default, is the CPU")
    parser.add_argument("--torch-python", type=Path, help="a Python that has torch")
    parser.add_argument("--training-python", type=Path, default=ROOT / ".venv-training/bin/python")
    return parser.parse_args()


if __name__ == "__main__":
    main()

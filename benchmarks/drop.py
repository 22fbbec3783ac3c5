"""Time and memory of `kedja drop`, beside the bare storage client at its best concurrency, in one run against Azurite.

    python benchmarks/drop.py [--rounds 5] [--large-rounds 2] [--small 2000] [--large 1024] [--report FILE]

Two drops are measured: many small files (4 KiB each), and one large file (MiB). The contestants are processes of their
own that write what they are given into a fresh folder of one Azurite, one after the other in each round, so that what
else the machine does falls on both:

    kedja   kedja_cli.files.uploader, as `kedja drop --storage` runs it: each blob has its Content-MD5, and what is
            there is looked up first
    bare    azure-storage-blob alone, without MD5: small files in a pool of threads, the large one with
            max_concurrency. Each of several concurrencies is measured, and the fastest counts

Medians of the rounds are compared. The clock runs from when the contestant's modules are loaded. Memory is the most
that the process held beyond what it held before it began (ru_maxrss).
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "drop.md"
SMALL_SIZE = 4 << 10
CONCURRENCIES = {"small": (8, 16, 32), "large": (2, 4, 8)}
GOAL = 1.3


def _kedja(account: str, folder: Path, name: str) -> None:
    from kedja_cli.files.account_authorizer import AccountAuthorizer  # noqa: PLC0415 - each process loads what it measures, no more
    from kedja_cli.files.local_file import find  # noqa: PLC0415
    from kedja_cli.files.uploader import Uploader  # noqa: PLC0415

    with _measured():
        files = find([folder], "data").files
        outcome = Uploader(AccountAuthorizer(account, name)).run(files)
    assert len(outcome.sent) == len(files), outcome.failed


def _bare(account: str, folder: Path, name: str, concurrency: int) -> None:
    from azure.storage.blob import BlobServiceClient  # noqa: PLC0415

    with _measured():
        paths = sorted(folder.iterdir())
        with BlobServiceClient.from_connection_string(account) as service:
            container = service.get_container_client("data")

            def write(path: Path) -> None:
                with path.open("rb") as content:
                    parallel = concurrency if len(paths) == 1 else 1
                    container.upload_blob(f"{name}/{path.name}", content, max_concurrency=parallel)

            with ThreadPoolExecutor(1 if len(paths) == 1 else concurrency) as pool:
                list(pool.map(write, paths))


class _measured:  # noqa: N801 - used like a function
    def __enter__(self) -> None:
        self.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self.began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - self.memory
        print(json.dumps([seconds, memory / 1024]))


def measure(account: str, folder: Path, name: str, concurrency: int | None) -> tuple[float, float]:
    """Run a contestant once in a fresh process; return its seconds, and the MiB that it held."""
    words = [sys.executable, __file__, "--child", account, str(folder), name, str(concurrency or 0)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, memory = json.loads(printed.splitlines()[-1])
    return seconds, memory


def compare(account: str, kind: str, folder: Path, rounds: int) -> list[tuple[str, list[float], list[float]]]:
    """Return each contestant with its seconds and MiB in every round."""
    contestants: Sequence[int | None] = (None, *CONCURRENCIES[kind])
    found: dict[int | None, list[tuple[float, float]]] = {one: [] for one in contestants}
    for turn in range(rounds):
        turned = turn % len(contestants)  # nobody is always first, when Azurite's folder is smallest
        for one in (*contestants[turned:], *contestants[:turned]):
            result = measure(account, folder, f"{kind}-{turn}-{one or 'kedja'}", one)
            found[one].append(result)
            print(
                f"{kind:6} {f'bare, {one}' if one else 'kedja':10} {result[0]:7.2f} s {result[1]:7.0f} MiB", flush=True
            )
    names = {one: f"bare client, concurrency {one}" if one else "kedja drop" for one in contestants}
    return [(names[one], [r[0] for r in found[one]], [r[1] for r in found[one]]) for one in contestants]


def table(title: str, results: list[tuple[str, list[float], list[float]]]) -> list[str]:
    best = min(statistics.median(seconds) for name, seconds, _ in results if name.startswith("bare"))
    lines = [
        f"## {title}",
        "",
        "| | seconds (median; fastest to slowest) | to the best bare one | MiB |",
        "|---|---|---|---|",
    ]
    for name, seconds, memory in results:
        middle = statistics.median(seconds)
        spread = f"{middle:.2f}; {min(seconds):.2f} to {max(seconds):.2f}"
        lines.append(f"| {name} | {spread} | {middle / best:.2f} | {statistics.median(memory):.0f} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of the small files")
    parser.add_argument("--large-rounds", type=int, default=2, help="of the large one, which takes longer")
    parser.add_argument("--small", type=int, default=2000, metavar="FILES")
    parser.add_argument("--large", type=int, default=1024, metavar="MIB")
    parser.add_argument("--report", type=Path, default=RESULT)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from azure.storage.blob import BlobServiceClient  # noqa: PLC0415 - the children need none of it

    from local_azure.storage.azurite import running_azurite  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as temporary:
        small, large = Path(temporary, "small"), Path(temporary, "large")
        small.mkdir()
        large.mkdir()
        for number in range(options.small):
            (small / f"{number:05}.bin").write_bytes(os.urandom(SMALL_SIZE))
        with (large / "one.bin").open("wb") as file:
            for _ in range(options.large):
                file.write(os.urandom(1 << 20))
        lines = ["# `kedja drop` beside the bare storage client", ""]
        with running_azurite(Path(temporary, "azurite")) as account:
            with BlobServiceClient.from_connection_string(account.connection_string) as service:
                service.create_container("data")
            for kind, folder, title in (
                ("small", small, f"{options.small:,} files of {SMALL_SIZE >> 10} KiB"),
                ("large", large, f"One file of {options.large:,} MiB"),
            ):
                rounds = options.rounds if kind == "small" else options.large_rounds
                results = compare(account.connection_string, kind, folder, rounds)
                lines += table(f"{title}, {rounds} rounds", results)
    told = (
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores shared with Azurite, "
        f"load {os.getloadavg()[1]:.1f}. Goal: at most {GOAL} times the best bare one, and memory that does not grow "
        "with what is dropped. How it is measured stands in benchmarks/drop.py.\n"
    )
    options.report.write_text("\n".join([*lines, told]))
    print("\n".join([*lines, told]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _, _, account, folder, name, concurrency = sys.argv
        if int(concurrency):
            _bare(account, Path(folder), name, int(concurrency))
        else:
            _kedja(account, Path(folder), name)
    else:
        main()

import subprocess

from tests.unit.training_job.drops import Drop, manifest_of

MPI = {"OMPI_COMM_WORLD_SIZE": "2", "PMIX_NAMESPACE": "test@1"}


def rank(number: int) -> dict[str, str]:
    return {**MPI, "OMPI_COMM_WORLD_RANK": str(number), "OMPI_COMM_WORLD_LOCAL_RANK": str(number)}


def both(drop: Drop) -> list[subprocess.Popen[str]]:
    """Start the second rank, and then the first, as mpirun may."""
    drop.write()
    folder = drop.root / "job"
    folder.mkdir()
    return [
        subprocess.Popen(
            drop.command("python", "train.py"), cwd=folder, env=drop.environment(**rank(number)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in (1, 0)
    ]  # fmt: skip


def test_rank_0_alone_reports(drop: Drop) -> None:
    drop.data = {"x": b"data"}
    drop.scripts = {
        "train.py": """
            import os
            from azureml.core import Run
            number = int(os.environ["OMPI_COMM_WORLD_RANK"])
            Run.get_context().log("rank", number)
            print(number, open(os.environ["KEDJA_DATA"] + "/x").read())
            """
    }
    second, first = both(drop)
    assert first.communicate(timeout=60)[0] == "0 data\n"
    assert second.communicate(timeout=60)[0] == "1 data\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert manifest_of(drop.root / "job")["metrics"] == {"rank": 0.0}


def test_the_second_rank_waits_for_the_first_in_vain(drop: Drop) -> None:
    drop.scripts = {"train.py": "print('ran')", "logs/x": ""}
    second, first = both(drop)
    outputs = [process.communicate(timeout=60) for process in (first, second)]
    assert [output for output, _ in outputs] == ["", ""]
    assert (first.returncode, second.returncode) == (65, 1)
    assert all("takes the name 'logs'" in errors for _, errors in outputs)


def test_another_ranks_failure_is_the_reason(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import os, signal, time
            if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
                raise ValueError("bad shard")
            other = ".kedja/metrics-rank1.jsonl"
            while not (os.path.exists(other) and "bad shard" in open(other).read()):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGTERM)
            """
    }
    second, first = both(drop)
    for process in (first, second):
        process.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (143, 1)
    manifest = manifest_of(drop.root / "job")
    assert (manifest["failed_rank"], manifest["reason"]) == (1, "rank 1 ended with ValueError: bad shard")

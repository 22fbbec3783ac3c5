import pytest

from training_job import mpi_env


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*mpi_env._RANK, *mpi_env._SIZE, *mpi_env._LOCAL_RANK):
        monkeypatch.delenv(name, raising=False)


def facts() -> tuple[int, int, int]:
    return mpi_env.rank(), mpi_env.size(), mpi_env.local_rank()


def test_a_process_that_mpirun_did_not_start() -> None:
    assert facts() == (0, 1, 0)


def test_open_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "5")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "8")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1")
    assert facts() == (5, 8, 1)


def test_mpich_and_intel_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "3")
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("MPI_LOCALRANKID", "0")
    assert facts() == (3, 4, 0)


def test_a_rank_whose_node_is_not_told_counts_as_on_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_RANK", "3")
    assert mpi_env.local_rank() == 3


def test_a_value_that_is_no_number_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "first")
    monkeypatch.setenv("PMI_RANK", "2")
    assert mpi_env.rank() == 2

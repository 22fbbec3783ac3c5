"""The comparison that `make chainer-suite` makes, on results made up here."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from tests.chainer_suite import expected, gpu, run, shards, sides, suite_plugin

SUITE = shards.Suite(name="s", folder="tests/s")


@pytest.mark.parametrize(
    ("test_id", "plain"),
    [
        ("t.py::Test_param_0_{shape=(2, 3), dtype=float32}::test_a", "t.py::Test_param_0::test_a"),
        ("t.py::Test_param_1_{a={'b': 1}}_param_2_{c=np.int64(1)}::test_a", "t.py::Test_param_1_param_2::test_a"),
        ("t.py::test_a[<object at 0x7f00ab>]", "t.py::test_a[<object at 0x>]"),
        ("t.py::test_plain", "t.py::test_plain"),
    ],
)
def test_names_are_the_same_on_both_sides(test_id: str, plain: str) -> None:
    assert suite_plugin.plain(test_id) == plain


def results(work: Path, side: sides.Side, outcomes: Mapping[str, str], finished: int | None = 1) -> None:
    lines = [json.dumps({"id": test, "outcome": outcome, "message": "why"}) for test, outcome in outcomes.items()]
    lines += [] if finished is None else [json.dumps({"finished": finished})]
    (work / side.name).mkdir()
    (work / side.name / "s.a.0").write_text("\n".join(lines))


def compare(work: Path) -> dict[str, run.Difference]:
    shard = shards.Shard(suite=SUITE, name="s.a", files=())
    found = [shards.outcomes(shard, side, work) for side in sides.SIDES]
    return {difference.test: difference for difference in run._compare(*found)}


def test_only_tests_that_pass_on_one_side_differ(tmp_path: Path) -> None:
    results(tmp_path, sides.REFERENCE, {"a": "passed", "b": "failed", "c": "failed", "d": "skipped", "e": "passed"})
    results(tmp_path, sides.MENDED, {"a": "passed", "b": "error", "c": "passed", "d": "failed", "e": "skipped"})
    differences = compare(tmp_path)
    assert sorted(differences) == ["c", "e"]
    assert (differences["c"].is_worse, differences["e"].is_worse) == (False, True)
    assert differences["e"].reason is None


@pytest.mark.parametrize("finished", [None, 2, 3])
def test_a_session_that_did_not_end_well_is_a_difference(tmp_path: Path, finished: int | None) -> None:
    results(tmp_path, sides.REFERENCE, {"a": "passed"})
    results(tmp_path, sides.MENDED, {}, finished)
    assert {"a"} <= set(compare(tmp_path))
    assert (
        shards.outcomes(shards.Shard(suite=SUITE, name="s.a", files=()), sides.MENDED, tmp_path)["s.a"][0] == "crashed"
    )


def test_a_known_defect_needs_its_name_and_its_error(tmp_path: Path) -> None:
    test = "chainer_tests/functions_tests/math_tests/test_det.py::DetFunctionTest_param_0::test_det_scaling_cpu"
    known = "TypeError: only 0-dimensional arrays can be converted to Python scalars"
    for message, is_known in ((known, True), ("another error", False)):
        (difference,) = run._compare({test: ("passed", "")}, {test: ("failed", message)})
        assert (difference.reason is not None) is is_known


def test_brackets_in_names_are_plain_text() -> None:
    assert expected._pattern("t.py::a[1]*") == "t.py::a[[]1]*"


def test_a_change_of_the_layer_is_noticed_on_its_side_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [sides.fingerprint(side) for side in sides.SIDES]
    (tmp_path / "patches.py").write_text("changed")
    monkeypatch.setattr(sides, "_COMPAT", (tmp_path,))
    after = [sides.fingerprint(side) for side in sides.SIDES]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_each_folder_is_a_shard_and_for_mpi_each_file(tmp_path: Path) -> None:
    for name in ("a/test_x.py", "a/test_y.py", "test_z.py"):
        (tmp_path / "tests/s" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tests/s" / name).touch()
    assert sorted(shard.name for shard in shards.shards(SUITE, tmp_path)) == ["s.a", "s.top"]
    by_file = shards.Suite(name="s", folder="tests/s", ranks=2)
    assert sorted(shard.name for shard in shards.shards(by_file, tmp_path)) == ["s.a.test_x", "s.a.test_y", "s.test_z"]


@pytest.mark.parametrize(("pytests", "ranks"), [(0, 0), (1, 0), (5, 0), (2, 2), (3, 3), (137, 137)])
def test_a_rank_with_a_failed_test_does_not_end_the_others(pytests: int, ranks: int) -> None:
    launcher = shards._mpirun(2)
    rank = launcher[launcher.index("sh") :]
    assert subprocess.run([*rank, "sh", "-c", f"exit {pytests}"], check=False).returncode == ranks


def test_without_mpirun_the_suite_of_two_ranks_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", ["run"])
    with pytest.raises(SystemExit):
        run.main()
    assert "chainermn needs mpirun" in capsys.readouterr().err


def test_without_mpirun_the_other_suites_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", ["run", "--suite", "chainer", "onnx_chainer"])
    assert run._parse().suite == ["chainer", "onnx_chainer"]


def gpu_results(folder: Path, name: str, outcomes: Mapping[str, tuple[str, str]], *, finished: bool = True) -> Path:
    lines = [json.dumps({"id": test, "outcome": how, "message": why}) for test, (how, why) in outcomes.items()]
    lines += [json.dumps({"finished": 1})] if finished else []
    (folder / f"{name}.0").write_text("\n".join(lines))
    return folder / name


def test_on_a_gpu_a_failure_needs_a_reason(tmp_path: Path) -> None:
    det = "chainer_tests/functions_tests/math_tests/test_det.py::DetFunctionTest_param_{}::test_det_scaling_gpu"
    known = ("failed", "TypeError: only 0-dimensional arrays can be converted to Python scalars")
    second = ("failed", "(caused by) | TypeError: an integer is required")
    ended = gpu_results(
        tmp_path, "a.py", {"a": ("passed", ""), "b": second, det.format(0): known, det.format(1): known}
    )
    cut_off = gpu_results(tmp_path, "b.py", {"c": ("error", "why")}, finished=False)
    lines, unexplained = gpu._report([ended, cut_off, tmp_path / "c.py"])
    assert "- test files: 1 cut off, 1 not begun, 1 run to the end" in lines
    assert "- tests: 1 error, 2 failed, 1 needs a second GPU, 1 passed" in lines
    assert unexplained == 1
    assert "- 1 of `c`: UNEXPLAINED: why" in lines
    assert any(
        line.startswith("- 2 of ") and "DetFunctionTest::test_det_scaling_gpu`: The test" in line for line in lines
    )


def test_without_a_gpu_its_tests_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    mocker.patch("training_job.launcher.gpu_preflight.visible_gpus", return_value=0)
    monkeypatch.setattr("sys.argv", ["gpu", "--source", "chainer"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "no GPU can be used here" in capsys.readouterr().err

"""Names of distributions and modules, and the parts of old packages that Kedja brings itself."""

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from training_job.requirements import known_names, uv
from training_job.requirements.outcome import Failure, Outcome, Substitution
from training_job.requirements.stand_ins.nms_gpu_post import _nms_gpu_post


@pytest.mark.parametrize(
    ("distribution", "module"),
    [
        ("foo", "foo"),
        ("Foo-Bar", "foo_bar"),
        ("foo-bar", "foobar"),
        ("python-foo", "foo"),
        ("pyfoo", "foo"),
        ("foo2", "foo"),
        ("opencv-python", "cv2"),
        ("PyYAML", "yaml"),
        ("scikit_learn", "sklearn"),
        ("beautifulsoup4", "bs4"),
        ("biopython", "Bio.Seq"),
        ("python-dateutil", "dateutil.parser"),
    ],
)
def test_a_missing_module_leads_to_its_line(distribution: str, module: str) -> None:
    failure = Failure(file="requirements.txt", asked=distribution, name=distribution, reason="gone")
    outcome = Outcome(file="requirements.txt", failures=[failure])
    assert outcome.missing(module) is failure
    assert outcome.missing("another") is None


def test_many_substitutions_are_few_notes() -> None:
    changed = [
        Substitution(file="requirements.txt", asked=f"package{i}==1", became=f"became package{i} 2") for i in range(99)
    ]
    notes = Outcome(file="requirements.txt", substitutions=changed).notes()
    assert len(notes) < 10
    assert all(note.startswith("requirements.txt: package") and len(note) <= 500 for note in notes)
    assert sum(note.count(" became ") for note in notes) == 99


def test_many_failures_leave_room_for_other_notes() -> None:
    failures = [
        Failure(file="requirements.txt", asked=f"package{i}==1", name=f"package{i}", reason="gone") for i in range(60)
    ]
    notes = Outcome(file="requirements.txt", failures=failures).notes()
    assert notes[0] == "requirements.txt: package0==1 could not be installed: gone"
    assert len(notes) < 15
    assert all(f"package{i}==1" in " ".join(notes) for i in range(60))


@pytest.mark.parametrize("name", ["typing", "enum34", "Pathlib", "dataclasses", "futures", "argparse", "configparser"])
def test_pythons_own_modules_are_known(name: str) -> None:
    assert known_names.is_python(name)


@pytest.mark.parametrize("name", ["tqdm", "typing-extensions", "pathlib2", "futures3"])
def test_others_are_not_pythons_own(name: str) -> None:
    assert not known_names.is_python(name)


@pytest.mark.parametrize(("variable", "expected"), [("1", "False"), ("", "True")])
def test_a_build_leaves_extensions_out(variable: str, expected: str) -> None:
    code = (
        "import sys; last = sys.path[-1]; import setuptools, setuptools.dist; "
        "extension = setuptools.Extension('a', ['a.c']); "
        "print(bool(setuptools.dist.Distribution({'ext_modules': [extension]}).has_ext_modules()), last)"
    )
    environment = {
        "PYTHONPATH": str(uv.BUILD_HOOK),
        "KEDJA_BUILD_PACKAGES": "/the/environment",
        "KEDJA_BUILD_WITHOUT_EXTENSIONS": variable,
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "/the/environment"]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_selected_as_chainercvs_extension_does(seed: int) -> None:
    """Greedy suppression over 150 boxes, by the matrix of who suppresses whom and by its bits in blocks of 64."""
    random = np.random.default_rng(seed)
    suppresses = np.triu(random.random((150, 150)) < 0.05, 1)
    expected: list[int] = []
    for box in range(150):
        if not any(suppresses[earlier, box] for earlier in expected):
            expected.append(box)
    bits: npt.NDArray[np.bool_] = np.zeros((150, 3 * 64), dtype=bool)
    bits[:, :150] = suppresses
    mask = np.packbits(bits, axis=1, bitorder="little").view(np.uint64).reshape(-1)
    selected, count = _nms_gpu_post(mask, 150, 64, 3)
    assert (selected.dtype, selected.shape) == (np.int32, (150,))
    assert selected[:count].tolist() == expected

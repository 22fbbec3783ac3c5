import pytest

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef

ID = "0123456789abcdef" * 4


def test_a_reference_is_read_from_its_text() -> None:
    ref = DropRef("digits-1a2b3c", ID)
    assert str(ref) == f"digits-1a2b3c/{ID}"
    assert DropRef.parse(str(ref)) == ref
    assert DropRef.parse(f"{naming.ROOT_EXPERIMENT}/{ID}") == DropRef(naming.ROOT_EXPERIMENT, ID)


@pytest.mark.parametrize("drop", ["", "latest", ID[1:], f"{ID}0", f"b/{ID}", f"{ID}/", ID.upper()])
def test_a_text_without_a_drop_is_none(drop: str) -> None:
    assert DropRef.parse(f"digits/{drop}") is None


@pytest.mark.parametrize("experiment", ["", "Digits", "..", "a/b", "dígits"])
def test_a_text_without_an_experiment_is_none(experiment: str) -> None:
    assert DropRef.parse(f"{experiment}/{ID}") is None


def test_is_read_from_the_names_of_its_blobs() -> None:
    ref = DropRef("digits", ID)
    names = [naming.receipt_blob(ref), naming.open_blob(ref), naming.attempts_blob(ref), f".queued/00000000007/{ref}"]
    assert [DropRef.of_blob(name) for name in names] == [ref] * 4


def test_is_ordered_as_its_text() -> None:
    refs = [DropRef("b", "0"), DropRef("a", "1"), DropRef("a", "0")]
    assert sorted(refs) == sorted(refs, key=str)

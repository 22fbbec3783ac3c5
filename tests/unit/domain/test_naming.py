from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from function_app.domain import naming
from function_app.domain.drop_ref import DropRef

FILES = st.lists(
    st.tuples(st.text(min_size=1), st.integers(min_value=0), st.text()), max_size=5, unique_by=lambda file: file[0]
)


@pytest.mark.parametrize("folder", ["digits", "a", "resnet-50", "x" * 40])
def test_a_plain_folder_is_its_own_slug(folder: str) -> None:
    assert naming.slug(folder) == folder


@pytest.mark.parametrize(
    ("folder", "start"),
    [
        ("Digits", "digits-"),
        ("målning av hus", "malning-av-hus-"),
        ("a_b", "a-b-"),
        ("-a-", "a-"),
        ("x" * 41, f"{'x' * 40}-"),
        ("数字", "x-"),
        ("_root", "root-"),
    ],
)
def test_another_one_gets_a_hash(folder: str, start: str) -> None:
    slug = naming.slug(folder)
    assert slug.startswith(start)
    assert len(slug) == len(start) + 6


@given(st.text())
def test_a_slug_can_stand_in_any_name(folder: str) -> None:
    slug = naming.slug(folder)
    assert 0 < len(slug) <= naming.SLUG_LIMIT + 7
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not slug.startswith("-")
    assert slug != naming.ROOT_EXPERIMENT


@given(st.text(), st.text())
def test_two_folders_share_no_slug(one: str, other: str) -> None:
    assert (naming.slug(one) == naming.slug(other)) == (one == other)


@given(FILES, FILES, st.randoms(use_true_random=False))
def test_a_drop_id_does_not_depend_on_the_order_of_files(
    scripts: list[tuple[str, int, str]], data: list[tuple[str, int, str]], chance: object
) -> None:
    before = naming.drop_id(scripts, data, "{}")
    assert naming.drop_id(scripts[::-1], sorted(data), "{}") == before
    assert len(before) == 64


def test_a_drop_id_is_made_of_everything_that_counts() -> None:
    file = ("train.py", 1, "hash")
    ids = {
        naming.drop_id([file], [], "{}"),
        naming.drop_id([], [file], "{}"),
        naming.drop_id([("train.py", 2, "hash")], [], "{}"),
        naming.drop_id([("train.py", 1, "other")], [], "{}"),
        naming.drop_id([("other.py", 1, "hash")], [], "{}"),
        naming.drop_id([file, file], [], "{}"),
        naming.drop_id([file], [], '{"compute":"a"}'),
    }
    assert len(ids) == 7


def test_a_job_is_named_for_its_attempt() -> None:
    name = naming.job_name(DropRef("digits", "0123456789abcdef" * 4), 2)
    assert name == "digits-0123456789abcdef-2"


def test_receipts_sort_newest_first_by_time() -> None:
    older = naming.by_time_blob(datetime(2026, 1, 1, tzinfo=UTC), DropRef("digits", "a"))
    newer = naming.by_time_blob(datetime(2026, 1, 2, tzinfo=UTC), DropRef("digits", "b"))
    assert newer < older


@pytest.mark.parametrize("path", [".a", "a/.b/c", "a.tmp", "a~", "~a", "a.swp", "a.partial", "__pycache__/a", "a/", ""])
def test_hidden_and_temporary_names_are_ignored(path: str) -> None:
    assert naming.is_ignored(path)


@pytest.mark.parametrize("path", ["a", "_SUCCESS", "a/b.c", "tmp/a", "a.tmp.npz", "a~b"])
def test_others_are_not(path: str) -> None:
    assert not naming.is_ignored(path)

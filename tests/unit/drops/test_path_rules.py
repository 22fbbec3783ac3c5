"""Names with every odd character: each works from the drop to the job's document, or is refused in words."""

import shlex
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from function_app.domain import naming
from function_app.domain.receipt import Status
from function_app.drops import path_rules
from tests.profiles import examples
from tests.unit.simulation import SCRIPT, World

FINE = [
    "a b.py",
    " leading.py",
    "trailing .py",
    "a#b?c%d&e+f.py",
    "50%25.py",
    "%2e%2e.py",
    'it\'s "quoted" `x` $(y) $z;|<>.py',
    "~home.py" if not naming.is_ignored("~home.py") else "home~x.py",
    "a:b.py",
    "*[a]{b}!.py",
    "日本語 ñ ä.py",
    "a\u0308 decomposed.py",
    "\u200f right to left.py",
    "עברית.py",
    "😀.py",
    "@=,^.py",
    "CON.py",
    "x" * 248 + ".py",
]
REFUSED = {
    "a line break": ("a\nb.py", "contains a line break"),
    "a carriage return": ("a\rb.py", "contains a line break"),
    "a tab": ("a\tb.py", "control character"),
    "a NUL": ("a\0b.py", "control character"),
    "an escape": ("\x1b[31m.py", "control character"),
    "a C1 control": ("\x9b.py", "control character"),
    "a line separator": ("a\u2028b.py", "contains a line break"),
    "turned text": ("a\u202eyp.b", "changes the text direction"),
    "isolated text": ("a\u2066b.py", "changes the text direction"),
    "a backslash": ("a\\b.py", "contains a backslash"),
    "an empty part": ("a//b.py", "has an empty part"),
    "a dot at the end": ("a./b.py", "ends with a dot"),
    "a part too long": ("ä" * 128, "more than 255 bytes"),
}
SCRIPTS_ONLY = {
    "a placeholder": ("${{inputs.data}}.py", "Azure ML would substitute"),
    "an option": ("-c.py", "begins with a dash"),
    "too long for its snapshot": ("/".join(["x" * 200] * 5), "has more than 9"),
}
FOLDERS = {
    "a placeholder": ("${{inputs.x}}", "Azure ML would substitute"),
    "a line break": ("a\nb", "contains a line break"),
    "turned text": ("\u202eabc", "changes the text direction"),
    "a backslash": ("a\\b", "contains a backslash"),
    "an escaped slash": ("a%2Fb", "contains %2F"),
    "an escaped way up": ("%2e%2e", "contains %2e"),
    "a dot at the end": ("digits.", "ends with a dot"),
    "too long": ("x" * 201, "more than 200 characters"),
}


@pytest.mark.parametrize("name", FINE)
def test_a_script_of_any_fine_name_becomes_a_job(world: World, name: str) -> None:
    world.drop(f"scripts/digits/{name}", SCRIPT)
    world.drop(f"data/digits/{name}.bin", b"x")
    world.rest()
    receipt = world.receipt()
    assert (receipt.status, world.failures) == (Status.SUBMITTED, [])
    command = next(iter(world.training.requests.values())).document["command"]
    assert shlex.split(command)[-2:] == ["python", name]
    copied = f"{naming.snapshot_prefix(receipt.ref)}scripts/{name}"
    assert world.blobs.read(naming.SNAPSHOTS, copied).data == SCRIPT
    world.run_job()
    assert world.receipt().status is Status.REGISTERED


@pytest.mark.parametrize("folder", ["a b#c%d&e+f", "it's", "50%", "日本語", "עברית", "-x", "Blåbär 1+1"])
def test_a_folder_of_any_fine_name_is_an_experiment(world: World, folder: str) -> None:
    world.drop(f"scripts/{folder}/train.py", SCRIPT)
    world.drop(f"data/{folder}/a.bin", b"x")
    world.rest()
    assert (world.receipt(folder).status, world.failures) == (Status.SUBMITTED, [])
    document = next(iter(world.training.requests.values())).document
    assert document["inputs"]["data"]["path"] == f"azureml://datastores/kedja_data/paths/{folder}/"
    world.run_job()
    assert world.receipt(folder).status is Status.REGISTERED


@pytest.mark.parametrize("container", [naming.SCRIPTS, naming.DATA])
@pytest.mark.parametrize("kind", REFUSED)
def test_another_is_refused_and_shown_in_one_line(world: World, container: str, kind: str) -> None:
    name, why = REFUSED[kind]
    world.drop_digits()
    world.drop(f"{container}/digits/{name}", b"x")
    world.rest()
    receipt = world.receipts()[-1]
    assert (receipt.status, world.failures, world.training.jobs) == (Status.REJECTED, [], {})
    assert receipt.reason is not None
    assert why in receipt.reason
    assert not any(unicodedata.category(one) in ("Cc", "Zl") or one in "\u202e\u2066" for one in receipt.reason)
    assert receipt.what_to_do == "Drop it under another name, and delete this one."


@pytest.mark.parametrize("kind", SCRIPTS_ONLY)
def test_a_script_is_refused_where_data_is_not(world: World, kind: str) -> None:
    name, why = SCRIPTS_ONLY[kind]
    world.drop_digits()
    world.drop(f"data/digits/{name}", b"x")
    world.rest()
    assert world.receipts()[-1].status is Status.SUBMITTED
    world.clock.advance(60)
    world.drop(f"scripts/digits/{name}", b"x")
    world.rest()
    assert (world.receipts()[-1].status, world.failures) == (Status.REJECTED, [])
    assert why in (world.receipts()[-1].reason or "")


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_is_refused(world: World, kind: str) -> None:
    folder, why = FOLDERS[kind]
    world.drop(f"scripts/{folder}/train.py", SCRIPT)
    world.drop(f"data/{folder}/a.bin", b"x")
    world.rest()
    receipt = world.receipt(folder)
    assert (receipt.status, world.failures, world.training.jobs) == (Status.REJECTED, [], {})
    assert why in (receipt.reason or "")


@pytest.mark.parametrize("name", ["../train.py", "a/../../train.py", "./train.py", ".hidden.py", "a/.git/x", "x~"])
def test_hidden_names_and_ways_up_are_never_seen(world: World, name: str) -> None:
    world.drop_digits()
    world.drop(f"scripts/digits/{name}", b"x")
    world.rest()
    receipt = world.receipt()
    assert (receipt.status, receipt.received.scripts) == (Status.SUBMITTED, 1)
    assert not any(name in path for path in world.blobs.names_in(naming.SNAPSHOTS))


@pytest.mark.parametrize("container", [naming.SCRIPTS, naming.DATA])
def test_a_file_that_is_a_folder_too_is_refused(world: World, container: str) -> None:
    world.drop_digits()
    world.drop(f"{container}/digits/a", b"x")
    world.drop(f"{container}/digits/a/b/c", b"x")
    world.rest()
    assert world.receipts()[-1].reason == f'{container}/digits/"a" is both a file and a folder, which contains "a/b/c".'


@settings(max_examples=examples(300))
@given(st.text(min_size=1, max_size=300))
def test_any_name_is_fine_or_has_a_reason(name: str) -> None:
    reason = path_rules.path_error(name)
    shown = path_rules.quote_name(name)
    assert "\n" not in shown
    if reason is None:
        assert not {"", ".", ".."} & set(name.split("/"))
        assert all(len(part.encode()) <= 255 for part in name.split("/"))

import pytest

from tests.unit.training_job.drops import Drop
from training_job.hooks import argument_hooks

PARSER = """
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument("--epoch", "-e", type=int)
    parser.add_argument("--batchsize")
    print(parser.parse_args())
    """


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--epochs=3", "unrecognized arguments: --epochs=3. Did you mean --epoch?"),
        ("--unit=3", "unrecognized arguments: --unit=3"),
        ("--epoch=x", "argument --epoch/-e: invalid int value: 'x'"),
    ],
)
def test_the_reason_lists_the_options_of_the_script(drop: Drop, argument: str, said: str) -> None:
    drop.scripts = {"train.py": PARSER}
    ended = drop.launch("python", "train.py", argument)
    assert ended.code == 2
    said = said if said.endswith("?") else f"{said}."
    assert ended.manifest["reason"] == (
        "the script ended with exit code 2, as it does not take its arguments: "
        f"{said} Its options are --epoch/-e, --batchsize"
    )
    assert "usage: train.py" in ended.errors


def test_a_parser_of_optparse(drop: Drop) -> None:
    drop.scripts = {
        "train.py": """
            import optparse
            parser = optparse.OptionParser()
            parser.add_option("-e", "--epoch")
            parser.parse_args()
            """
    }
    reason = drop.launch("python", "train.py", "--rate", "3").manifest["reason"]
    assert reason.endswith("no such option: --rate. Its options are -e/--epoch")


def test_positional_arguments_are_listed_by_their_names(drop: Drop) -> None:
    drop.scripts = {"train.py": "import argparse as a; p = a.ArgumentParser(); p.add_argument('data'); p.parse_args()"}
    assert drop.launch("python", "train.py").manifest["reason"].endswith("required: data. Its options are data")


def test_a_message_is_not_too_long() -> None:
    text = argument_hooks.describe("unrecognized arguments: --x", [[f"--option{number}"] for number in range(1000)])
    assert text.endswith("--option58, --option59, …")

import pytest

from function_app.jobspec.kedja_block import When
from function_app.models.gate import refusal

NAN = float("nan")


@pytest.mark.parametrize(
    ("gate", "metrics", "champion"),
    [
        (None, {}, None),
        (When(metric="accuracy", at_least=0.9), {"accuracy": 0.9}, None),
        (When(metric="loss", at_most=0.1), {"loss": 0.1}, None),
        (When(metric="accuracy", goal="maximize", better_than="champion"), {"accuracy": 0.1}, None),
        (When(metric="accuracy", goal="maximize", better_than="champion"), {"accuracy": 0.2}, {"accuracy": 0.1}),
        (When(metric="loss", goal="minimize", better_than="champion"), {"loss": 0.1}, {"loss": 0.2}),
        (When(metric="loss", goal="minimize", better_than="champion"), {"loss": 0.1}, {"accuracy": 0.2}),
    ],
)
def test_passes(gate: When | None, metrics: dict[str, float], champion: dict[str, float] | None) -> None:
    assert refusal(gate, metrics, champion) is None


@pytest.mark.parametrize(
    ("gate", "metrics", "champion", "reason"),
    [
        (
            When(metric="accuracy", at_least=0.9),
            {"loss": 0.1, "f1": 0.2},
            None,
            "The job logged no metric 'accuracy'; it logged: f1, loss.",
        ),
        (
            When(metric="a", at_least=0.9),
            {f"metric{number:05}": 0.5 for number in range(14_000)},
            None,
            f"The job logged no metric 'a'; it logged: {', '.join(f'metric{number:05}' for number in range(76))}, ….",
        ),
        (When(metric="a", at_least=0.9), {}, None, "The job logged no metric 'a'; it logged: none."),
        (When(metric="a", at_least=0.9), {"a": 0.89}, None, "a is 0.89, and has to be at least 0.9."),
        (When(metric="a", at_most=0.9), {"a": 0.91}, None, "a is 0.91, and has to be at most 0.9."),
        (When(metric="a", at_least=0.9), {"a": NAN}, None, "a is nan, which is no number."),
        (When(metric="a", at_most=0.9), {"a": NAN}, None, "a is nan, which is no number."),
        (
            When(metric="a", goal="maximize", better_than="champion"),
            {"a": 0.5},
            {"a": 0.5},
            "a is 0.5, no better than the champion's 0.5.",
        ),
        (
            When(metric="a", goal="minimize", better_than="champion"),
            {"a": 0.6},
            {"a": 0.5},
            "a is 0.6, no better than the champion's 0.5.",
        ),
        (
            When(metric="a", goal="maximize", better_than="champion"),
            {"a": NAN},
            {"a": 0.5},
            "a is nan, which is no number.",
        ),
        (
            When(metric="a", goal="maximize", better_than="champion"),
            {"a": NAN},
            None,
            "a is nan, which is no number.",
        ),
    ],
)
def test_tells_why_not_with_the_figures(
    gate: When, metrics: dict[str, float], champion: dict[str, float] | None, reason: str
) -> None:
    assert refusal(gate, metrics, champion) == reason

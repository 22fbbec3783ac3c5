import pytest

from function_app.jobspec.kedja_block import GateConditions
from function_app.models.gate import gate_failure

NAN = float("nan")


@pytest.mark.parametrize(
    ("gate", "metrics", "champion"),
    [
        (None, {}, None),
        (GateConditions(metric="accuracy", at_least=0.9), {"accuracy": 0.9}, None),
        (GateConditions(metric="loss", at_most=0.1), {"loss": 0.1}, None),
        (GateConditions(metric="accuracy", goal="maximize", better_than="champion"), {"accuracy": 0.1}, None),
        (
            GateConditions(metric="accuracy", goal="maximize", better_than="champion"),
            {"accuracy": 0.2},
            {"accuracy": 0.1},
        ),
        (GateConditions(metric="loss", goal="minimize", better_than="champion"), {"loss": 0.1}, {"loss": 0.2}),
        (GateConditions(metric="loss", goal="minimize", better_than="champion"), {"loss": 0.1}, {"accuracy": 0.2}),
    ],
)
def test_passes(gate: GateConditions | None, metrics: dict[str, float], champion: dict[str, float] | None) -> None:
    assert gate_failure(gate, metrics, champion) is None


@pytest.mark.parametrize(
    ("gate", "metrics", "champion", "reason"),
    [
        (
            GateConditions(metric="accuracy", at_least=0.9),
            {"loss": 0.1, "f1": 0.2},
            None,
            "The job logged no metric 'accuracy'; it logged: f1, loss.",
        ),
        (
            GateConditions(metric="a", at_least=0.9),
            {f"metric{number:05}": 0.5 for number in range(14_000)},
            None,
            f"The job logged no metric 'a'; it logged: {', '.join(f'metric{number:05}' for number in range(76))}, ….",
        ),
        (GateConditions(metric="a", at_least=0.9), {}, None, "The job logged no metric 'a'; it logged: none."),
        (GateConditions(metric="a", at_least=0.9), {"a": 0.89}, None, "a is 0.89, but must be at least 0.9."),
        (GateConditions(metric="a", at_most=0.9), {"a": 0.91}, None, "a is 0.91, but must be at most 0.9."),
        (GateConditions(metric="a", at_least=0.9), {"a": NAN}, None, "a is nan, which is not a number."),
        (GateConditions(metric="a", at_most=0.9), {"a": NAN}, None, "a is nan, which is not a number."),
        (
            GateConditions(metric="a", goal="maximize", better_than="champion"),
            {"a": 0.5},
            {"a": 0.5},
            "a is 0.5, no better than the champion's 0.5.",
        ),
        (
            GateConditions(metric="a", goal="minimize", better_than="champion"),
            {"a": 0.6},
            {"a": 0.5},
            "a is 0.6, no better than the champion's 0.5.",
        ),
        (
            GateConditions(metric="a", goal="maximize", better_than="champion"),
            {"a": NAN},
            {"a": 0.5},
            "a is nan, which is not a number.",
        ),
        (
            GateConditions(metric="a", goal="maximize", better_than="champion"),
            {"a": NAN},
            None,
            "a is nan, which is not a number.",
        ),
    ],
)
def test_tells_why_not_with_the_figures(
    gate: GateConditions, metrics: dict[str, float], champion: dict[str, float] | None, reason: str
) -> None:
    assert gate_failure(gate, metrics, champion) == reason

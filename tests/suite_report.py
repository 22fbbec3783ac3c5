"""A pytest plugin that writes what a run did, for `tests.suites`: `-p tests.suite_report --suite-report FILE`.

It runs in each environment that has tests, so it needs nothing beside pytest. The file is JSON: `counts` of tests by
outcome, `skipped` (count by reason), `seconds` (by test).
"""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

_PHASES = ("setup", "call", "teardown")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite-report", type=Path, help="file to write the run's counts and times to, as JSON")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the file. With pytest-xdist this runs once, where the workers' results are."""
    file: Path | None = config.getoption("suite_report")
    if file is None:
        return
    stats = terminalreporter.stats
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in (one for reports in stats.values() for one in reports):
        if isinstance(report, pytest.TestReport) and report.when in _PHASES:
            seconds[report.nodeid] += report.duration
    document = {
        "counts": {outcome: len(stats.get(outcome, ())) for outcome in ("passed", "failed", "error", "skipped")},
        "skipped": Counter(_reason(report) for report in stats.get("skipped", ())),
        "seconds": seconds,
    }
    file.write_text(json.dumps(document))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return "no reason"

"""Fixtures of the end-to-end tests: whole stacks, a user of them, and a browser.

`world` is a user of a stack that all tests share, also those that run beside it. `world_alone` has a stack to itself,
for tests that change how all of it works; xdist runs them one after the other.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.end_to_end.stacks import ALONE, SHARED, StackKind, using
from tests.end_to_end.world import Hold, World

_FOLDER = f"{Path(__file__).parent}{os.sep}"


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have `make test` run the few that are marked `smoke`, and keep together what shares a fixture."""
    for item in items:
        if not str(item.path).startswith(_FOLDER):
            continue
        names = getattr(item, "fixturenames", ())
        if item.get_closest_marker("smoke") is None:
            item.add_marker(pytest.mark.slow)
        if "browser" in names:
            item.add_marker(pytest.mark.browser)
        if "world_alone" in names:
            item.add_marker(pytest.mark.xdist_group("alone"))


def _stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this run share."""
    mine = tmp_path_factory.getbasetemp()
    return mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine


def _world(kind: StackKind, factory: pytest.TempPathFactory) -> Iterator[World]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with (
        using(kind, _stacks(factory)) as (stack, supervisor),
        World.before(stack, supervisor, f"tests-{worker}") as world,
    ):
        yield world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A user of the stack that all tests share."""
    yield from _world(SHARED, tmp_path_factory)


@pytest.fixture(scope="session")
def world_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A user who has a stack to itself, which runs one job at a time and reconciles when it is asked to."""
    yield from _world(ALONE, tmp_path_factory)


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    hold = Hold(tmp_path / "go")
    yield hold
    hold.release()


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Browser]]:
    """Return what starts a browser with more switches. Playwright runs once in a process."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    expect.set_options(timeout=30_000)  # milliseconds; other things may run beside the browser
    switches = ("--no-sandbox", "--disable-gpu")
    with sync_playwright() as playwright:
        yield lambda *more: playwright.chromium.launch(executable_path=program, args=[*switches, *more])


@pytest.fixture(scope="session")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    browser = launch()
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, world: World) -> Iterator[Page]:
    """A page of the shared stack, in which no script may fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=world.stack.functions_url)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    # A browser reports every answer that is not 2xx; those to a lease or a poll that the test ended don't matter.
    assert [problem for problem in problems if "Failed to load resource" not in problem] == []

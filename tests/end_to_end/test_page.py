"""The web page, in a browser before the whole local stack. `make screenshots` keeps what the last test sees."""

import os
import re
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.end_to_end.browsing import drag, folder, silence
from tests.end_to_end.world import Hold, World, until

pytestmark = pytest.mark.xdist_group("page")  # later tests look at what earlier ones dropped

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
SCREENSHOTS = "KEDJA_SCREENSHOTS"
WIDTHS = {"wide": (1600, 1000), "narrow": (360, 800)}
WHOLE = {"drop", "rejected", "running"}
MANY = 10_000
NEWEST = datetime(2026, 11, 23, tzinfo=UTC)
SLOW = 120_000.0  # milliseconds for a drop's whole way
WAIT = """
    def wait(trainer):
        while trainer.updater.epoch == 6 and not os.path.exists({!r}):
            time.sleep(0.1)

    trainer.extend(wait, trigger=(1, "epoch"), priority=0)
    trainer.run()
    """


def test_a_folder_dragged_onto_the_page_becomes_a_model_with_its_curve(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    field = page.get_by_role("region", name="Start a training")
    drag(page, folder(tmp_path, "dragged"), field)
    expect(field).to_contain_text("1 data file, 1 script file")
    expect(field.get_by_label("Experiment")).to_have_value("dragged")
    field.get_by_role("button", name="Upload").click()
    expect(field).to_contain_text("Uploaded 2 files to dragged")

    row = page.get_by_role("row").filter(has_text="dragged")
    seen: set[str] = set()

    def status() -> str:
        seen.add(row.locator(".badge").inner_text(timeout=SLOW))
        return max(seen, key=lambda name: name == "registered")

    page.wait_for_timeout(100)
    while status() != "registered":
        page.wait_for_timeout(100)
    assert seen & {"submitting", "submitted", "starting", "running", "completed"}, seen
    expect(row.get_by_role("img")).to_have_accessible_name(re.compile("Stage 5 of 5"))

    row.get_by_role("link").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("dragged")
    curve = page.get_by_role("img", name=re.compile("^Curve of loss. Latest: .*main.loss"))
    expect(curve).to_be_visible()
    page.get_by_text("loss as a table").click()
    figures = page.get_by_role("region", name="Figures of loss").get_by_role("row")
    expect(figures).to_have_count(13)
    expect(page.get_by_role("log")).to_contain_text("validation/main/accuracy")
    chain = page.get_by_role("region", name="Lineage").get_by_role("listitem")
    expect(chain).to_have_count(5)
    expect(chain.nth(3)).to_contain_text("dragged:1")


def test_a_folder_is_chosen_and_followed_with_the_keyboard_alone(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        button = page.get_by_role("button", name="Choose a folder")
        button.focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(folder(tmp_path, "typed"))
    experiment = page.get_by_role("region", name="Start a training").get_by_label("Experiment")
    expect(experiment).to_have_value("typed")
    experiment.focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name=re.compile("^typed "))
    expect(link).to_be_visible(timeout=SLOW)
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_contain_text("registered", timeout=SLOW)


def test_what_went_wrong_is_on_top_with_what_to_do(page: Page, world: World) -> None:
    page.goto("/")
    world.drop({"data/unclear/x.csv": b"1", "scripts/unclear/job.yaml": b"kedja: {data: maybe}\n"})
    card = page.get_by_role("region", name="Needs attention").get_by_role("listitem").filter(has_text="unclear")
    expect(card).to_contain_text("What to do: Fix job.yaml and drop it again.", timeout=SLOW)
    card.get_by_role("link").click()
    script = page.get_by_role("region", name="Lineage").get_by_role("listitem").filter(has_text="Script")
    expect(script).to_contain_text("none")
    page.get_by_text("Scripts: 1 file").click()
    expect(page.get_by_role("region", name="Files")).to_contain_text("job.yaml")


@pytest.mark.smoke
def test_events_appear_as_they_are_published(page: Page, world: World) -> None:
    page.goto("/#/events")
    expect(page.get_by_role("heading", name="Events")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("status")).to_have_count(0)
    world.drop({"data/announced/x.csv": b"1", "scripts/announced/job.yaml": b"kedja: {data: maybe}\n"})
    told = page.get_by_role("listitem").filter(has_text="announced").filter(has_text="DropRejected")
    expect(told).to_be_visible(timeout=SLOW)


@pytest.mark.timeout(600)
def test_ten_thousand_drops_are_one_long_list(page: Page) -> None:
    def some(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        first, count = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        numbers = range(first, min(first + count, MANY)) if "status" not in query else ()
        items = [
            {
                "experiment": "many",
                "drop": f"{number:064x}",
                "received_at": (NEWEST - timedelta(seconds=number)).isoformat(),
                "updated_at": "2026-11-23T23:59:59Z",
                "status": "registered",
                "job": f"many-{number:016x}-1",
                "model": f"many:{MANY - number}",
                "receipt": f"/api/drops/many/{number:064x}",
            }
            for number in numbers
        ]
        more = str(first + count) if numbers and first + count < MANY else None
        route.fulfill(json={"items": items, "next": more})

    silence(page)
    page.route("**/api/drops?*", some)
    page.goto("/")
    rows = page.locator("tbody tr")  # to ask each of thousands for its role takes minutes
    expect(rows).not_to_have_count(0)
    for _ in range(10 * MANY // 200):
        if rows.count() == MANY:
            break
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
    expect(rows).to_have_count(MANY)
    expect(rows.last).to_contain_text("many:1")


def test_a_caller_without_a_key_is_asked_for_one(page: Page) -> None:
    refusal = {"status": 401, "title": "Who calls?", "detail": "To be known, send a key of Kedja's."}

    def locked(route: Route) -> None:
        if route.request.headers.get("x-kedja-key") == "kedja_0123456789ab_secret":
            route.continue_()
        else:
            route.fulfill(status=401, content_type="application/problem+json", json=refusal)

    page.route("**/api/**", locked)
    page.goto("/")
    field = page.get_by_label("Kedja API key")
    expect(field).to_be_visible()
    _check_for_everyone(page, "sign-in")
    field.fill("kedja_0123456789ab_secret")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Drops", exact=True)).to_be_visible()


def _check_for_everyone(page: Page, name: str) -> None:
    # Over the protocol, since the page's policy lets in no script of others.
    axe = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
    page.context.new_cdp_session(page).send("Runtime.evaluate", {"expression": axe})
    found = page.evaluate("async () => (await axe.run()).violations")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], name


@pytest.fixture(scope="module")
def ongoing(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a job that is half done, and stays so while pages are looked at."""
    parent = tmp_path_factory.mktemp("ongoing")
    hold = Hold(parent / "go")
    made = folder(parent, "ongoing")
    script = (made / "train.py").read_text().replace("import os\n", "import os\nimport time\n", 1)
    script = script.replace("trainer.run()", textwrap.dedent(WAIT.format(str(hold.path))).strip())
    points = (made / "points.npz").read_bytes()
    world.drop({"data/ongoing/points.npz": points, "scripts/ongoing/train.py": script.encode()})
    (receipt,) = world.wait("ongoing", "running")
    job = receipt["attempts"][-1]["job"]

    def is_half_done() -> bool:
        series = world.get(f"/api/jobs/{job}/metrics")["series"]
        return len(series.get("main/loss", ())) == 6

    until(is_half_done, "six epochs")
    yield f"/#/drops/ongoing/{receipt['drop']}"
    hold.release()
    world.wait("ongoing", "registered")


def _addresses(world: World) -> dict[str, str]:
    drops: list[dict[str, Any]] = world.get("/api/drops?limit=200")["items"]
    address = {one["experiment"]: f"/#/drops/{one['experiment']}/{one['drop']}" for one in reversed(drops)}
    return {
        "drops": "/",
        "drop": address["dragged"],
        "rejected": address["unclear"],
        "models": "/#/models",
        "model": "/#/models/dragged",
        "events": "/#/events",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_for_everyone_in_each_theme_and_width(
    browser: Browser, world: World, ongoing: str, tmp_path: Path, theme: Literal["light", "dark"], width: str
) -> None:
    pixels, height = WIDTHS[width]
    with browser.new_context(viewport={"width": pixels, "height": height}, color_scheme=theme) as context:
        page = context.new_page()
        for name, address in {**_addresses(world), "running": ongoing, "upload": "/"}.items():
            page.goto("about:blank")
            page.goto(f"{world.stack.functions_url}{address}")
            page.get_by_role("heading").first.wait_for()
            page.wait_for_timeout(1500)
            if name == "upload":
                drag(page, folder(tmp_path, "digits"), page.get_by_role("main"))
                page.get_by_text("Where each file goes").click()
            assert page.evaluate("document.documentElement.scrollWidth") <= pixels, name
            _check_for_everyone(page, name)
            if os.environ.get(SCREENSHOTS):
                whole = width == "narrow" or name in WHOLE
                page.screenshot(path=IMAGES / f"page-{name}-{theme}-{width}.png", full_page=whole)

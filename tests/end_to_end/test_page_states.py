"""What the page makes of answers that seldom come, in a browser: each test writes the answers itself."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.end_to_end.browsing import silence

DROP = f"{7:064x}"
SOME_FRAMES = "async () => { for (let i = 0; i < 40; i++) await new Promise(requestAnimationFrame) }"
HIDE = """({hidden}) => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
DRAWN = """(place) => {
    const canvas = place.querySelector("canvas");
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] === 29 && data[at + 1] === 78 && data[at + 2] === 216) count++;
    }
    return count;
}"""
DRAWN_LEAST = 20
"""Pixels in the colour of the first line, --line-1 of the light theme."""
UNAVAILABLE = {"status": 503, "title": "Storage is not available.", "what_to_do": "Try again in a minute."}


def line(number: int, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - values of JSON
    """Return a line of the list of drops."""
    drop = f"{number:064x}"
    return {
        "experiment": "shown",
        "drop": drop,
        "received_at": f"2026-11-23T10:{number:02d}:00Z",
        "updated_at": f"2026-11-23T10:{number:02d}:00.500000Z",
        "status": "registered",
        "job": f"shown-{number:016x}-1",
        "model": None,
        "receipt": f"/api/drops/shown/{drop}",
        **changes,
    }


def receipt(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as line
    return {
        **line(7),
        "folder": "shown",
        "trigger": "a1",
        "received": {
            "scripts": 1,
            "data": 1,
            "size": 2,
            "manifest": "m",
            "scripts_sha256": "5" * 64,
            "data_sha256": "d" * 64,
        },
        "attempts": [
            {"number": 1, "job": "shown-1", "why": "first drop", "claimed": "2026-11-23T10:07:00Z", "sequence": 1}
        ],
        "model": None,
        "history": [],
        **changes,
    }


def answer(page: Page, path: str, make: Callable[[Mapping[str, str]], Any] | Any) -> None:  # noqa: ANN401 - as line
    """Answer requests to a path with what is made of their query: JSON, or a whole answer where it has a status."""

    def fulfill(route: Route) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(route.request.url).query).items()}
        found = make(query) if callable(make) else make
        if isinstance(found, dict) and isinstance(found.get("status"), int):
            route.fulfill(status=found["status"], content_type="application/problem+json", json=found)
        else:
            route.fulfill(json=found)

    page.route(re.compile(rf"{re.escape(path)}(\?|$)"), fulfill)


@pytest.fixture(autouse=True)
def silent(page: Page) -> None:
    """Show nothing live but what a test writes: others use the same stack."""
    silence(page)


class Live:
    """A live answer that a test writes: `start`, then what `told` has, message by message."""

    def __init__(self, page: Page, path: str) -> None:
        self.asked: list[str | None] = []
        self.told: list[tuple[str, Any]] = []
        page.route(re.compile(rf"{re.escape(path)}(\?|$)"), self.fulfill)

    def fulfill(self, route: Route) -> None:
        last = route.request.headers.get("last-event-id")
        self.asked.append(last)
        begun = int(last) if last else 0
        new = ([("start", {})] if last is None else []) + self.told[begun:]
        body = "".join(f"event: {event}\ndata: {json.dumps(data)}\n\n" for event, data in new)
        route.fulfill(content_type="text/event-stream", body=f"retry: 20\n\nid: {len(self.told)}\n\n{body}")


def test_a_page_of_the_list_that_fails_is_asked_for_again_by_hand_alone(page: Page) -> None:
    asked: list[str] = []

    def pages(query: Mapping[str, str]) -> Any:  # noqa: ANN401 - as line
        if "after" not in query:
            return {"items": [] if "status" in query else [line(9)], "next": None if "status" in query else "second"}
        asked.append(query["after"])
        return UNAVAILABLE if len(asked) == 1 else {"items": [line(8)], "next": None}

    answer(page, "/api/drops", pages)
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("Storage is not available. Try again in a minute.")
    page.evaluate(SOME_FRAMES)
    assert asked == ["second"]
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("tbody").get_by_role("row")).to_have_count(2)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_line_that_comes_late_changes_nothing(page: Page) -> None:
    live = Live(page, "/api/live")
    answer(page, "/api/drops", lambda query: {"items": [] if "status" in query else [line(7)], "next": None})
    page.goto("/")
    rows = page.locator("tbody").get_by_role("row")
    expect(rows).to_have_count(1)
    live.told += [
        ("drop", line(7, status="running", updated_at="2026-11-23T10:07:00Z")),
        ("drop", line(8, status="running")),
    ]
    expect(rows).to_have_count(2)
    expect(rows.nth(1).locator(".badge")).to_have_text("registered")


def test_what_left_a_list_of_one_status_is_not_brought_back_by_a_line_that_comes_late(page: Page) -> None:
    live = Live(page, "/api/live")
    early = line(7, status="running", updated_at="2026-11-23T10:07:00Z")
    answer(page, "/api/drops", lambda query: {"items": [early] if query["status"] == "running" else [], "next": None})
    page.goto("/#/?status=running")
    rows = page.locator("tbody").get_by_role("row")
    expect(rows).to_have_count(1)
    live.told += [("drop", line(7))]
    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    live.told += [("drop", early), ("drop", line(8, status="running"))]
    expect(rows).to_have_count(1)
    expect(rows.get_by_role("link").first).to_have_attribute("href", re.compile(f"{8:064x}"))


def test_trouble_with_the_list_is_over_once_it_is_loaded(page: Page) -> None:
    answers = iter([UNAVAILABLE])
    answer(
        page,
        "/api/drops",
        lambda query: (
            next(answers, {"items": [line(7)], "next": None}) if "status" not in query else {"items": [], "next": None}
        ),
    )
    live = Live(page, "/api/live")
    page.goto("/")
    expect(page.get_by_role("alert")).to_contain_text("Storage is not available.")
    live.told += [("start", {})]
    expect(page.locator("tbody").get_by_role("row")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_hidden_page_asks_for_nothing_and_goes_on_where_it_was(page: Page) -> None:
    live = Live(page, "/api/live")
    answer(page, "/api/drops", {"items": [], "next": None})
    page.goto("/")
    expect(page.get_by_text("No drops yet.")).to_be_visible()
    page.evaluate(HIDE, {"hidden": True})
    page.evaluate(SOME_FRAMES)
    before = len(live.asked)
    page.evaluate(SOME_FRAMES)
    assert len(live.asked) == before
    live.told += [("drop", line(7))]
    page.evaluate(HIDE, {"hidden": False})
    expect(page.locator("tbody").get_by_role("row")).to_have_count(1)
    assert live.asked[before] == "0"


def test_a_page_that_nobody_uses_stops_and_says_so(page: Page) -> None:
    page.clock.install()
    live = Live(page, "/api/live")
    answer(page, "/api/drops", {"items": [], "next": None})
    page.goto("/")
    page.get_by_text("No drops yet.").wait_for()
    page.clock.fast_forward("31:00")
    expect(page.get_by_text("Live updates are paused")).to_be_visible()
    page.evaluate(SOME_FRAMES)
    before = len(live.asked)
    page.clock.run_for(60_000)
    assert len(live.asked) == before
    page.get_by_role("button", name="Resume").press("Enter")
    expect(page.get_by_text("Live updates are paused")).to_have_count(0)
    with page.expect_request("**/api/live*"):
        page.clock.run_for(5000)


def test_what_needs_attention_is_no_drop_that_was_followed_by_another(page: Page) -> None:
    lists = {
        "failed": [line(1, status="failed", experiment="old"), line(3, status="failed", experiment="new")],
        "not_registered": [line(2, status="not_registered", experiment="gate")],
    }
    answer(page, "/api/drops", lambda query: {"items": lists.get(query.get("status", ""), []), "next": None})
    for item, followed in (
        (lists["failed"][0], "9" * 64),
        (lists["failed"][1], None),
        (lists["not_registered"][0], None),
    ):
        answer(page, item["receipt"], {**item, "reason": "It came to nothing.", "followed_by": followed})
    page.goto("/")
    cards = page.get_by_role("region", name="Needs attention").get_by_role("listitem")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("new")
    expect(cards.nth(1)).to_contain_text("gate")


def series(values: Sequence[float | None]) -> dict[str, Any]:
    return {
        "job": "shown-1",
        "series": {
            "main/loss": [
                {"step": step + 1, "value": value, "time": "2026-11-23T10:07:00Z"} for step, value in enumerate(values)
            ]
        },
        "parameters": {},
    }


def test_a_chart_grows_without_being_made_anew_and_leaves_a_gap_for_what_is_no_number(page: Page) -> None:
    values: list[float | None] = [1.0, None, 0.5, 0.4]
    answer(page, receipt()["receipt"], receipt(status="running"))
    answer(page, "/api/jobs/shown-1/metrics", lambda _: series(values))
    Live(page, "/api/jobs/shown-1/logs/live")
    page.goto(f"/#/drops/shown/{DROP}")
    chart = page.get_by_role("img", name=re.compile("^Curve of loss"))
    expect(chart).to_have_accessible_name("Curve of loss. Latest: main/loss 0.4")
    page.get_by_text("loss as a table").click()
    cells = page.get_by_role("region", name="Figures of loss").get_by_role("cell")
    assert cells.all_inner_texts() == ["1", "NaN", "0.5", "0.4"]
    assert chart.evaluate("(place) => place.getElementsByTagName('canvas').length") == 1
    chart.evaluate("(place) => { place.querySelector('canvas').dataset.kept = 'yes' }")
    assert chart.evaluate(DRAWN) > DRAWN_LEAST
    values.append(0.25)
    expect(chart).to_have_accessible_name("Curve of loss. Latest: main/loss 0.25", timeout=15_000)
    assert chart.evaluate("(place) => place.querySelector('canvas').dataset.kept") == "yes"


def test_metrics_that_cannot_be_had_are_no_missing_metrics(page: Page) -> None:
    answer(page, receipt()["receipt"], receipt())
    answer(page, "/api/jobs/shown-1/metrics", UNAVAILABLE)
    page.goto(f"/#/drops/shown/{DROP}")
    metrics = page.get_by_role("region", name="Metrics")
    expect(metrics.get_by_role("alert")).to_contain_text("Storage is not available.")
    expect(metrics).not_to_contain_text("No metrics yet")


def test_the_whole_log_is_downloaded_with_the_key(page: Page, tmp_path: Path) -> None:
    pieces = ["one\n", "two\n"]

    def log(route: Route) -> None:
        if route.request.headers.get("x-kedja-key") != "kedja_0123456789ab_secret":
            route.fulfill(status=401, json={"status": 401, "title": "Who calls?"})
            return
        offset = int(parse_qs(urlsplit(route.request.url).query)["offset"][0])
        text = "".join(pieces)[offset : offset + 4]
        route.fulfill(
            content_type="text/plain",
            body=text,
            headers={"x-next-offset": str(offset + len(text)), "x-complete": "true"},
        )

    answer(page, receipt()["receipt"], receipt())
    page.route("**/api/jobs/shown-1/logs?*", log)
    page.add_init_script("sessionStorage.setItem('kedja-key', 'kedja_0123456789ab_secret')")
    page.goto(f"/#/drops/shown/{DROP}")
    with page.expect_download(timeout=120_000) as download:
        page.get_by_role("button", name="Download the log").click()
    assert download.value.suggested_filename == "shown-1.log"
    download.value.save_as(tmp_path / "log")
    assert (tmp_path / "log").read_text() == "one\ntwo\n"

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Kedja API key")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('kedja-key')") is None


def model(*earlier: str) -> dict[str, Any]:
    history = [
        {"version": version, "since": "2026-11-23T10:00:00Z", "until": "2026-11-23T10:01:00Z"} for version in earlier
    ]
    version = {
        "model": "shown",
        "version": "2",
        "champion": True,
        "metrics": {"epoch": 3, "main/loss": 1.0, "validation/main/loss": 2.0},
    }
    return {
        "model": "shown",
        "champion": {"version": "2", "since": "2026-11-23T10:01:00Z", "history": history},
        "versions": [version],
    }


def test_a_model_is_live_and_rolled_back_only_where_there_was_a_champion_before(page: Page) -> None:
    earlier: list[str] = []
    live = Live(page, "/api/events/live")
    answer(page, "/api/models/shown", lambda _: model(*earlier))
    page.goto("/#/models/shown")
    expect(page.get_by_text(re.compile(r"^Version 2 became champion .* ago\.$"))).to_be_visible()
    expect(page.get_by_role("article").locator(".metrics")).to_have_text(
        re.compile(r"^\s*validation/main/loss 2\s*main/loss 1\s*$")
    )
    back = page.get_by_role("button", name="Roll back")
    expect(back).to_have_count(0)
    earlier.append("1")
    live.told += [("published", {"type": "Kedja.ModelRegistered", "data": {"model": "another"}})]
    live.told += [("published", {"type": "Kedja.ModelRegistered", "data": {"model": "shown"}})]
    expect(back).to_be_visible()


def test_the_files_of_a_version_are_read_page_by_page(page: Page) -> None:
    def files(query: Mapping[str, str]) -> Any:  # noqa: ANN401 - as line
        first = int(query.get("after", "0"))
        file = {"size": 1, "sha256": None, "md5": None, "url": "/x"}
        items = [{"path": f"{number}.png", **file} for number in range(first, first + 40)]
        return {"model": "shown", "version": "2", "items": items, "next": str(first + 40) if first < 80 else None}

    silence(page)
    answer(page, "/api/models/shown", model())
    answer(page, "/api/models/shown/2/files", files)
    page.goto("/#/models/shown")
    page.get_by_text("Files", exact=True).click()
    region = page.get_by_role("region", name="Files of the version")
    region.scroll_into_view_if_needed()
    rows = region.locator("tbody tr")
    for count in (40, 80, 120):
        expect(rows.nth(count - 1)).to_be_attached()
        region.evaluate("(place) => place.scrollTo(0, place.scrollHeight)")
    expect(rows).to_have_count(120)
    expect(page.get_by_role("button", name=re.compile("more"))).to_have_count(0)


def test_a_filter_is_part_of_the_address_and_back_leads_to_where_the_list_was(page: Page) -> None:
    lines = [
        line(number % 60, drop=f"{number:064x}", receipt=f"/api/drops/shown/{number:064x}") for number in range(200)
    ]
    answer(
        page, "/api/drops", lambda query: {"items": lines if query.get("status") == "registered" else [], "next": None}
    )
    page.route(re.compile(r"/api/drops/shown/[0-9a-f]{64}$"), lambda route: route.fulfill(json=receipt()))
    page.goto("/")
    page.get_by_label("Status").select_option("registered")
    rows = page.locator("tbody").get_by_role("row")
    expect(rows).to_have_count(200)
    assert page.evaluate("location.hash") == "#/?status=registered"
    link = rows.get_by_role("link").nth(150)
    link.scroll_into_view_if_needed()
    page.evaluate(SOME_FRAMES)
    place = page.evaluate("scrollY")
    assert place > 1000
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("shown")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(rows).to_have_count(200)
    expect(page.get_by_label("Status")).to_have_value("registered")
    page.wait_for_function("(place) => Math.abs(scrollY - place) < 2", arg=place)

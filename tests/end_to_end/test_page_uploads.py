"""Folders dropped onto the page, and their uploads, in a browser before the whole local stack."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.end_to_end.browsing import drag
from tests.end_to_end.world import World

FIELD = "Start a training"
LEAVE = """() => {
    const leave = new Event("beforeunload", {cancelable: true});
    dispatchEvent(leave);
    return leave.defaultPrevented;
}"""


class Storage:
    """What stands between the page and storage: `held` keeps its uploads waiting, `refused` has names not taken."""

    def __init__(self, page: Page, world: World) -> None:
        self.sent: list[str] = []
        self.waiting: list[Route] = []
        self.held = False
        self.refused: set[str] = set()
        page.route(re.compile(rf"^http://127\.0\.0\.1:{world.stack.ports.blob}/"), self.receive)

    def receive(self, route: Route) -> None:
        if route.request.method != "PUT":
            route.continue_()
            return
        name = route.request.url.split("?")[0].rsplit("/", 1)[-1]
        if self.held:
            self.waiting.append(route)
        elif name in self.refused:
            route.fulfill(status=403, headers={"access-control-allow-origin": "*"})
        else:
            self.sent.append(name)
            route.continue_()


@pytest.fixture
def storage(page: Page, world: World) -> Iterator[Storage]:
    storage = Storage(page, world)
    yield storage
    page.unroute_all(behavior="ignoreErrors")


def made(parent: Path, name: str, *files: str) -> Path:
    """Make a folder whose files hold their own names."""
    for file in files:
        path = parent / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {file}")
    return parent / name


def test_the_folder_that_was_dropped_last_is_the_one_that_is_uploaded(
    page: Page, world: World, storage: Storage, tmp_path: Path
) -> None:
    page.goto("/")
    field = page.get_by_role("region", name=FIELD)
    page.get_by_role("heading", name="Drops", exact=True).last.wait_for()
    drag(page, made(tmp_path, "dropped-first", "a.csv", "b.csv"), page.locator("header"))
    expect(field.get_by_label("Experiment")).to_have_value("dropped-first")
    drag(page, made(tmp_path, "dropped-second", "c.csv"), field)
    expect(field).to_contain_text("1 data file, 0 script files")
    expect(field.get_by_label("Experiment")).to_have_value("dropped-second")
    field.get_by_role("button", name="Upload").click()
    expect(field).to_contain_text("Uploaded 1 file to dropped-second.")
    assert storage.sent == ["c.csv"]
    assert world.names("data", "dropped-second/") == ["dropped-second/c.csv"]
    assert world.names("data", "dropped-first/") == []

    drag(page, made(tmp_path, "dropped-third", "d.csv"), field)
    expect(field.get_by_label("Experiment")).to_have_value("dropped-third")


def test_an_upload_goes_on_behind_other_pages_and_can_be_canceled_and_continued(
    page: Page, world: World, storage: Storage, tmp_path: Path
) -> None:
    storage.held = True
    page.goto("/")
    field = page.get_by_role("region", name=FIELD)
    drag(page, made(tmp_path, "kept-waiting", "a.csv", "b.csv"), field)
    field.get_by_role("button", name="Upload").click()
    expect(field.get_by_role("button", name="Uploading …")).to_be_disabled()
    drag(page, made(tmp_path, "other", "c.csv"), field)
    expect(field.get_by_role("alert")).to_contain_text("An upload is under way.")
    expect(field.get_by_label("Experiment")).to_have_value("kept-waiting")
    assert page.evaluate(LEAVE)

    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(field.get_by_role("progressbar")).to_be_visible()
    field.get_by_role("button", name="Cancel").click()
    expect(field.get_by_role("status")).to_contain_text("Upload canceled.")
    assert not page.evaluate(LEAVE)
    assert world.names("data", "kept-waiting/") == []

    storage.held = False
    field.get_by_role("button", name="Continue").click()
    expect(field).to_contain_text("Uploaded 2 files to kept-waiting.")
    assert world.names("data", "kept-waiting/") == ["kept-waiting/a.csv", "kept-waiting/b.csv"]


def test_a_refused_file_stops_the_upload_which_goes_on_with_what_is_missing(
    page: Page, storage: Storage, tmp_path: Path
) -> None:
    names = [f"{number:02d}.csv" for number in range(40)]
    storage.refused = {"00.csv"}
    page.goto("/")
    field = page.get_by_role("region", name=FIELD)
    drag(page, made(tmp_path, "refused", *names), field)
    field.get_by_role("button", name="Upload").click()
    expect(field.get_by_role("alert")).to_contain_text("Storage refused 00.csv: 403")
    assert len(storage.sent) < len(names) - 1
    expect(field).to_contain_text(re.compile(r"\d+ of 40 files, \d+ B of \d+ B"))

    storage.refused = set()
    field.get_by_role("button", name="Continue").click()
    expect(field).to_contain_text("Uploaded 40 files to refused.")
    assert set(storage.sent) == set(names)

"""The tracker's first page in a real browser, while the demo's dataset stands behind it."""

import contextlib
import http.server
import os
import pathlib
import re
import subprocess
import threading
import time
import urllib.parse

import pytest
import requests
from playwright.sync_api import sync_playwright

from conftest import REPOSITORY, Tracker, free_port, wait_for

# Where each page is kept as it looked, for people to see.
SCREENSHOTS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "screenshots"

HOSTILE = "<script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def tracker(tmp_path_factory):
    """A tracker whose demo is over: all shards closed, one contributor, one hostile worker."""
    folder = tmp_path_factory.mktemp("demo")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    table = folder / "table.json"
    command = [os.environ["CAH_BIN"], "demo", "--serve", "--listen", f"127.0.0.1:{port}"]
    command += ["--out", str(folder / "out"), "--json", str(table)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(f"{url}/data", process)
        deadline = time.monotonic() + 300
        while not table.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the demo does not end"
            time.sleep(0.1)
        nickname = urllib.parse.quote(HOSTILE)
        wait_for(f"{url}/api/new?nickname={nickname}&type=HYBRID", process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert process.returncode == 0, "the tracker ends cleanly when it is asked to"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ["CAH_CHROMIUM"],
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


def opened(browser, url, **context):
    """A page that fails the test when anything in it is refused or breaks."""
    page = browser.new_context(**context).new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(url)
    return page, problems


def test_the_first_page_tells_how_far_it_is(browser, tracker):
    page, problems = opened(browser, tracker)
    text = page.inner_text("body")
    assert re.search(r"\b4\b", text) and "demo" in text
    assert "Finished" in text or "100" in text
    assert problems == []


def test_hostile_nicknames_are_text(browser, tracker):
    page, problems = opened(browser, tracker)
    assert page.title() != "owned"
    assert page.locator("script:not([src])").count() == 0
    assert problems == []


def test_a_worker_has_a_page_that_the_first_one_leads_to(browser, tracker):
    page, problems = opened(browser, tracker)
    page.click("table.workers td.name a >> nth=0")
    page.wait_for_url("**/worker/hybrid/*")
    assert HOSTILE in page.inner_text("body")
    assert page.title() != "owned" and problems == []


def test_the_install_page_names_this_tracker(browser, tracker):
    page, problems = opened(browser, tracker)
    page.click("nav a:has-text('Take part')")
    page.wait_for_url("**/install")
    assert f"cah worker --tracker {tracker}" in page.inner_text("pre >> nth=0")
    assert problems == []


@pytest.fixture(scope="module")
def addresses(tracker):
    """One page of each kind."""
    worker = requests.get(f"{tracker}/workers/data", timeout=30).json()["workers"][0]
    boards = requests.get(f"{tracker}/leaderboard/data", timeout=30).json()
    contributor = next(board for board in boards if board["contributors"])["contributors"][0]
    return {
        "home": "/",
        "leaderboard": "/leaderboard",
        "contributor": "/contributor/" + urllib.parse.quote(contributor["nickname"], safe=""),
        "workers": "/workers",
        "worker": f"/worker/{worker['type'].lower()}/{worker['display_name']}",
        "job": "/job/1",
        "install": "/install",
    }


PAGES = ["home", "leaderboard", "contributor", "workers", "worker", "job", "install"]

SIZES = {"phone": (375, 720), "desk": (1280, 900)}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_in_light_and_dark(browser, tracker, addresses, scheme, size, name):
    width, height = SIZES[size]
    page, problems = opened(
        browser,
        tracker + addresses[name],
        viewport={"width": width, "height": height},
        color_scheme=scheme,
    )
    page.screenshot(path=SCREENSHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    too_wide = "[...document.querySelectorAll('.card')].filter((card) => card.scrollWidth > card.clientWidth).length"
    assert page.evaluate(too_wide) == 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", background)[:3])
    assert (brightness > 384) == (scheme == "light")
    assert problems == []


def test_the_first_page_changes_without_being_reloaded(browser, tracker):
    page, problems = opened(browser, tracker)
    page.evaluate("window.loaded = true")
    joined = requests.get(f"{tracker}/api/new", params={"nickname": "late comer"}, timeout=30)
    name = joined.json()["display_name"]
    page.get_by_text(name, exact=True).wait_for(timeout=30_000)
    assert page.evaluate("window.loaded") is True
    assert problems == []


class Unavailable(http.server.BaseHTTPRequestHandler):
    """What a proxy answers while there is no tracker behind it."""

    def do_GET(self):
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def answering_503(port):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Unavailable)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def is_live(status):
    """Whether an answer is the one that pushes the page, or its refusal."""
    return lambda answer: answer.url.endswith("/live") and answer.status == status


def test_the_first_page_comes_back_after_an_outage(browser, tmp_path):
    paths = tmp_path / "wat.paths"
    paths.write_text("crawl-data/1.warc.wat.gz\n")
    tracker = Tracker(tmp_path, ["--wat-paths", paths])
    with tracker:
        page, _ = opened(browser, tracker.url)
        page.evaluate("window.loaded = true")
    with answering_503(tracker.port), page.expect_response(is_live(503), timeout=30_000):
        page.get_by_text("The tracker does not answer").wait_for(timeout=30_000)
    with contextlib.ExitStack() as again:
        with page.expect_response(is_live(200), timeout=60_000):
            again.enter_context(tracker)
        name = tracker.get("/api/new", nickname="late comer").json()["display_name"]
        page.get_by_text(name, exact=True).wait_for(timeout=30_000)
        page.get_by_text("The tracker does not answer").wait_for(state="hidden")
        assert page.evaluate("window.loaded") is True


def test_pages_lead_to_each_other(browser, tracker):
    page, problems = opened(browser, tracker)
    page.get_by_role("link", name="Leaderboard", exact=True).click()
    page.locator("table.board a").first.click()
    assert "/contributor/" in page.url
    page.get_by_role("heading", name="Day by day").wait_for()
    page.goto(f"{tracker}/job/1")
    page.get_by_role("heading", name="What was done with it").wait_for()
    assert problems == []


def test_workers_are_searched_with_the_keyboard_alone(browser, tracker):
    for nickname in ["needle", "hay", "hay"]:
        requests.get(f"{tracker}/api/new", params={"nickname": nickname}, timeout=30)
    page, problems = opened(browser, f"{tracker}/workers")
    page.get_by_label("Worker or contributor").focus()
    page.keyboard.type("NEEDLE")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=NEEDLE*")
    assert page.locator("table.workers tbody tr").count() == 1
    assert problems == []


def test_workers_are_sorted_with_the_keyboard_alone(browser, tracker):
    page, problems = opened(browser, f"{tracker}/workers?q=a")
    for order, sorted_ in [("desc", "descending"), ("asc", "ascending")]:
        page.get_by_role("link", name="Last seen").press("Enter")
        page.wait_for_url(f"**q=a&sort=last_seen&order={order}")
        head = page.get_by_role("columnheader", name="Last seen")
        assert head.get_attribute("aria-sort") == sorted_
    # Who searches on keeps the order.
    page.get_by_label("Worker or contributor").press("Enter")
    page.wait_for_url("**q=a&sort=last_seen&order=asc")
    assert problems == []


def test_nothing_comes_from_elsewhere(browser, tracker):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(tracker)
    assert asked and all(url.startswith(tracker) for url in asked)

"""A real browser drives the page: search, a peer's page, a round that ends meanwhile, light, dark, phone, no script.

Needs Chromium (``apt install chromium``, or its path in CHROMIUM). Screenshots go to build/leaderboard/.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from web import sample
from web.database import open_database
from web.serve import address_of, listen, serve
from web.store import Store

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "leaderboard"
NUM_PEERS, NUM_ROUNDS = 64, 40

CONTRAST = """
() => {
  const channel = (one) => { const c = one / 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(".visually-hidden, .lost .code, .search label")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push([element.className || element.tagName, element.textContent.slice(0, 30), ratio]);
  }
  return bad;
}
"""


class Site:
    """A served index that can go on playing."""

    def __init__(self, folder: Path) -> None:
        self.peers = sample.peer_ids(NUM_PEERS)
        engine = open_database(str(folder / "index.sqlite"))
        self.store = Store(engine)
        self.store.put([sample.run_row()])
        self.store.put(sample.register(self.peers))
        self._rounds = sample.play(self.peers, NUM_ROUNDS + 50)
        for _ in range(NUM_ROUNDS):
            self.end_round()
        listener = listen("127.0.0.1", 0)
        self.url = address_of(listener).rstrip("/")
        self._loop = asyncio.new_event_loop()
        self._serving = self._loop.create_task(serve(engine, listener))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end_round(self) -> None:
        self.store.put(next(self._rounds))
        self.store.beat(int(time.time()))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serving)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, site: Site) -> Iterator[Any]:
    """Opens a page; at the end no page may have complained."""
    problems: list[str] = []
    contexts: list[Any] = []

    def open_page(path: str = "/", **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def shot(page: Any, name: str, *, whole: bool = False) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=whole)


def wait_for(page: Any, expression: str, argument: Any = None) -> None:
    """Until an expression is true. The driver's own waiting would evaluate text, which the policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression, argument):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def test_typing_a_nickname_finds_the_peer_and_its_page_draws_its_course(visit: Any, site: Site) -> None:
    page = visit()
    nickname = page.locator(".board tbody .nick").nth(7).inner_text()
    page.locator("#q").press_sequentially(nickname, delay=10)
    wait_for(page, "document.querySelectorAll('.board tbody tr').length === 1")
    assert page.locator(".board tbody .nick").inner_text() == nickname
    assert f"q={nickname}" in page.url
    assert page.locator("#q").evaluate("one => one === document.activeElement")
    page.locator(".board tbody .who").click()
    page.wait_for_url("**/peers/16Uiu2*")
    assert page.locator("h1").inner_text() == nickname
    page.locator(".chart canvas").nth(1).wait_for()
    shot(page, "peer-light", whole=True)
    page.go_back()
    wait_for(page, "document.querySelector('#q') !== null")


def test_a_round_that_ends_changes_the_open_page(visit: Any, site: Site) -> None:
    page = visit()
    wait_for(page, "document.body.classList.contains('live')")
    before = page.locator("#summary .big").first.inner_text()
    credits = page.locator(".board .credits b").first.inner_text()
    page.evaluate("window.untouched = true")
    site.end_round()
    wait_for(page, "text => document.querySelector('#summary .big').textContent.trim() !== text", before)
    assert int(page.locator("#summary .big").first.inner_text()) == int(before) + 1
    wait_for(page, "text => document.querySelector('.board .credits b').textContent !== text", credits)
    assert page.evaluate("window.untouched"), "nothing was loaded anew"


def test_an_order_chosen_by_keyboard_stays_through_a_live_change(visit: Any, site: Site) -> None:
    page = visit("/?sort=name")
    wait_for(page, "document.body.classList.contains('live')")
    first = page.locator(".board tbody .nick").first.inner_text()
    round = page.locator("#summary .big").first.inner_text()
    site.end_round()
    wait_for(page, "text => document.querySelector('#summary .big').textContent.trim() !== text", round)
    assert page.locator(".board tbody .nick").first.inner_text() == first
    page.keyboard.press("/")
    assert page.locator("#q").evaluate("one => one === document.activeElement")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/rounds", f"/rounds/{NUM_ROUNDS}", "/said", "/disputes", "/glossary", "/api"])
def test_every_text_is_legible_in_light_and_dark(visit: Any, path: str, scheme: str) -> None:
    page = visit(path, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []
    shot(page, f"{path.strip('/').split('/')[0] or 'board'}{'-one' if path.count('/') > 1 else ''}-{scheme}")


def test_the_theme_button_switches_and_is_remembered(visit: Any) -> None:
    page = visit(color_scheme="light")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("[data-theme-button]").click()
    wait_for(page, "text => getComputedStyle(document.body).backgroundColor !== text", before)
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_at_phone_width_nothing_is_cut_off(visit: Any, site: Site) -> None:
    for name, path in (("board", "/"), ("peer", f"/peers/{site.peers[0]}"), ("rounds", "/rounds"), ("said", "/said")):
        page = visit(path, viewport={"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("h1").first.is_visible() or path == "/"
        shot(page, f"{name}-phone")


def test_without_scripts_everything_can_be_read_and_found(visit: Any, site: Site) -> None:
    page = visit("/", java_script_enabled=False)
    nickname = page.locator(".board tbody .nick").nth(3).inner_text()
    page.locator("#q").fill(nickname)
    page.locator("form.search button").click()
    page.wait_for_load_state()
    assert page.locator(".board tbody tr").count() == 1
    page.locator(".board tbody .who").click()
    page.wait_for_load_state()
    assert page.locator("h1").inner_text() == nickname
    assert page.locator(".chart polyline").count() == 2
    shot(page, "peer-without-scripts")
    page.goto(f"{site.url}/?page=2")
    assert page.locator(".board tbody .rank").first.inner_text() == "51"

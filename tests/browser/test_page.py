"""The page in a real browser: what it shows, what it asks for, and that it can be used by keys and on a phone.

`REWRITE=1` takes the picture in docs/ anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from hacron.telemetry.health import text_response
from tests.roles.onlooker import MARKUP, Onlooker, a_night
from tests.scenarios.script import Script
from tests.testbed.browser import Browser

pytestmark = pytest.mark.browser

PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
ROWS = "[...document.querySelectorAll('#rows tr td.name a')].map(a => a.textContent)"
LISTED = f"{ROWS}.length > 0"
HEADLINE = "document.querySelector('#headline').textContent"
DETAIL = "document.querySelector('#detail:not([hidden]) h2') !== null"
SWEEP = "document.querySelector('#rows a[href*=sweep]')"
WIDE = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def script() -> Script:
    return a_night()


@pytest.fixture
def night(browser: Browser, script: Script) -> Iterator[Onlooker]:
    """A page that the browser shows. Time stands still in it."""
    yield from shown(browser, script)


@pytest.fixture
def going_on(browser: Browser) -> Iterator[Onlooker]:
    """Another one, in which time may pass."""
    yield from shown(browser, a_night())


def shown(browser: Browser, script: Script) -> Iterator[Onlooker]:
    onlooker = Onlooker(script)
    browser.said.clear()
    browser.screen(1280, 900)
    browser.open(onlooker.url)
    browser.until(LISTED, 30, "rows")
    yield onlooker
    onlooker.close()
    browser.open("about:blank")


def text(browser: Browser, selector: str) -> str:
    found: str = browser.evaluate(f"document.querySelector('{selector}').innerText")
    return found


def test_the_page_shows_what_state_says(browser: Browser, night: Onlooker) -> None:
    assert browser.evaluate(HEADLINE) == "4 things are wrong"
    assert browser.evaluate("document.title") == "✕ 4 things are wrong – HACronJob"
    assert browser.evaluate(ROWS) == night.keys()
    kinds = browser.evaluate("[...document.querySelectorAll('#wrong .kind')].map(kind => kind.textContent)")
    assert kinds == [one["kind"] for one in night.told("overview")["troubles"]]
    assert "west-1 in west, since 12:00:00, proved" in text(browser, "#facts").replace("\n", " ")
    assert "11 1 invalid, 1 suspended, 1 paused, 2 held" in text(browser, "#facts").replace("\n", " ")
    clusters = browser.evaluate("[...document.querySelectorAll('.cluster h3')].map(h3 => h3.textContent)")
    assert [one.split("✓")[0] for one in clusters] == ["east", "west", "in no cluster"]
    seen = browser.evaluate("document.querySelector('.cluster .pillars').getAttribute('aria-label')")
    assert seen == "3 succeeded, 3 did not, 0 needed not"
    load = browser.evaluate("[...document.querySelectorAll('.cluster .load')].map(load => load.getAttribute('aria-label'))")
    told = night.told("overview")
    ticks = [sum(count for _, count in one) for one in (*(one["coming"] for one in told["clusters"]), told["coming"]["nowhere"])]
    assert [says.split(" to come, most at ")[0] for says in load] == [f"{count} tick{'s' * (count > 1)}" for count in ticks]
    assert min(ticks) > 0
    bars = browser.evaluate(
        "[...document.querySelectorAll('.cluster .load rect')].map(bar => Number(bar.getAttribute('height')))"
    )
    assert (len(bars), max(bars)) == (sum(len(one["coming"]) for one in told["clusters"]) + len(told["coming"]["nowhere"]), 26)
    strip = "document.querySelector('#rows tr .strip').getAttribute('aria-label')"
    assert browser.evaluate(strip) == "3 Failed, 6 to come"


def test_it_asks_for_nothing_elsewhere_and_complains_of_nothing(browser: Browser, night: Onlooker) -> None:
    browser.evaluate("location.hash = '#key=shop/mails'")
    browser.until(DETAIL, 30, "the page of a cronjob")
    assert [url for url in browser.requests if not url.startswith(night.url)] == []
    assert {url.removeprefix(night.url).partition("?")[0] for url in browser.requests} == {
        *("", "page.css", "page.js", "icon.svg", "overview.json", "cronjobs.json", "cronjob.json"),
    }
    assert browser.said == []


def test_markup_that_somebody_wrote_stays_text(browser: Browser, night: Onlooker) -> None:
    for where in ("#wrong", "#detail"):
        assert MARKUP in text(browser, where)
        assert browser.evaluate(f"document.querySelectorAll('{where} img, {where} script').length") == 0
        browser.evaluate("location.hash = '#key=ops/rotate'")
        browser.until(DETAIL, 30, "the page of a cronjob")
    assert "HACronJob" in browser.evaluate("document.title"), "no handler of it has run"
    browser.evaluate("location.hash = '#key=' + encodeURIComponent('<img src=x onerror=alert(1)>')")
    browser.until(
        "document.querySelector('#detail').innerText.includes('No cluster declares')", 30, "that there is no such thing"
    )
    assert browser.evaluate("document.querySelector('#detail h2').textContent") == "<img src=x onerror=alert(1)>"
    assert {url.startswith(night.url) for url in browser.requests} == {True}


def test_keys_are_enough(browser: Browser, night: Onlooker) -> None:
    browser.press("/", "Slash", "/")
    browser.until("document.activeElement.id === 'text'", 60, "the search to have the focus")
    browser.write("invoices")
    browser.until(f"{ROWS}.join() === 'shop/invoices'", 60, "what is searched for")
    assert browser.evaluate("location.hash") == "#text=invoices"
    browser.evaluate("document.querySelector('#rows a').focus()")
    browser.press("Enter", "Enter", "\r")
    browser.until(DETAIL, 60, "the page of a cronjob")
    shown = text(browser, "#detail")
    for word in ("shop/invoices", "Europe/Berlin", "AtMostOnce", "Scheduled=True", "Drifted=False", "on time", "40 s"):
        assert word in shown
    browser.press("Escape")
    browser.until(f"document.querySelector('#detail').hidden && {LISTED}", 60, "the list")
    assert night.keys(text="invoices") == ["shop/invoices"]


def test_what_has_the_focus_keeps_it_while_the_page_lives(browser: Browser, going_on: Onlooker) -> None:
    browser.evaluate(f"{SWEEP}.focus()")
    going_on.let_pass("12:36:30")
    browser.until(f"/3. s ago/.test({SWEEP}.closest('tr').innerText)", 30, "a verdict")
    assert browser.evaluate("document.activeElement.getAttribute('href')") == "#key=ops%2Fsweep"


def test_a_run_beside_the_schedule_is_not_late(browser: Browser, going_on: Onlooker) -> None:
    """It was asked for long after the time that it is for."""
    going_on.do("demand west shop/beside invoices at=12:05")
    going_on.let_pass("12:31:20")
    browser.evaluate("location.hash = '#key=shop/invoices'")
    browser.until(f"{DETAIL} && document.querySelector('[data-part=open] tbody') !== null", 30, "an open run")
    started = browser.evaluate("document.querySelector('[data-part=open] [data-label=Started]').textContent")
    assert (started[:7], started.partition(", ")[2]) == ("12:31:1", "for run beside")


@pytest.mark.parametrize("where", ["", "#key=shop/invoices", "#key=ops/rotate"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_fits_a_phone_by_day_and_by_night(browser: Browser, night: Onlooker, tmp_path: Path, where: str, dark: bool) -> None:
    browser.screen(360, 740, dark=dark, phone=True)
    browser.open(f"{night.url}?{dark}{where}")
    browser.until(DETAIL if where else LISTED, 30, "the page")
    assert browser.evaluate(WIDE) <= 0
    back = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(18, 22, 27)" if dark else "rgb(246, 247, 248)")
    browser.screenshot(tmp_path / "phone.png")
    assert (tmp_path / "phone.png").read_bytes().startswith(b"\x89PNG")


def test_a_replica_that_no_longer_answers_is_told_of(browser: Browser, night: Onlooker) -> None:
    night.server.page = lambda _path, _headers: text_response(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
    browser.until("!document.querySelector('#banner').hidden", 30, "a banner")
    assert "busy" in text(browser, "#banner")
    assert browser.evaluate("document.body.className") == "stale"
    assert browser.evaluate(ROWS) != [], "what was known stays in sight"
    night.server.page = night.page.respond
    browser.until("document.querySelector('#banner').hidden", 30, "the banner to go")


def test_it_works_below_any_path(browser: Browser, night: Onlooker) -> None:
    """Behind `kubectl proxy` it is at /api/v1/namespaces/hacron-system/services/hacron-metrics:http/proxy/page/."""
    below = "/page/api/v1/proxy"
    night.server.page = lambda path, headers: night.page.respond(path.removeprefix(below), headers)
    browser.open(night.url.replace("/page/", f"{below}/page"))
    browser.until(f"location.pathname.endsWith('/page/') && {LISTED}", 30, "the page")
    assert [url for url in browser.requests if below not in url] == []


def test_a_picture_of_it(browser: Browser, going_on: Onlooker, tmp_path: Path) -> None:
    for line in ("west ops/odd", "west ops/backup", "east ops/rotate", "west data/exports"):
        going_on.do(f"delete {line}")
    going_on.let_pass("12:46:40")
    browser.screen(1100, 920)
    browser.open(f"{going_on.url}?picture")
    browser.until(LISTED, 30, "the page")
    taken = tmp_path / "page.png"
    browser.screenshot(taken)
    if os.environ.get("REWRITE"):
        PICTURE.write_bytes(taken.read_bytes())
    assert 10_000 < PICTURE.stat().st_size < 150_000
    assert taken.stat().st_size > 10_000

"""Reranking, live figures, and code that runs."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.server import KEY

_TABS = ["curl", "Python, openai", "Python, httpx", "JavaScript"]
_TEXTS = 'It\'s "quoted" \\ text\nCafé 🙂'


def test_rerank_sorts_the_texts(page: Page) -> None:
    page.fill("#query", "a young cat")
    page.fill("#documents", "stock market\nkitten\nnine to five")
    page.get_by_role("button", name="Rerank").click()
    expect(page.locator("#hits li")).to_have_count(3)
    scores = [float(text.replace("−", "-")) for text in page.locator("#hits .figure").all_inner_texts()]
    widths = page.locator("#hits i").evaluate_all("bars => bars.map(bar => bar.clientWidth)")
    assert scores == sorted(scores, reverse=True)
    assert widths == sorted(widths, reverse=True)
    shown = page.locator("#hits li > span:nth-child(2)").all_inner_texts()
    assert sorted(shown) == ["kitten", "nine to five", "stock market"]


def test_rerank_needs_a_query_and_texts(page: Page) -> None:
    expect(page.locator("#hits li")).to_have_count(4)
    page.fill("#query", " ")
    expect(page.locator("#hits li")).to_have_count(0)
    expect(page.locator("#rerank-section .error")).to_be_empty()


def test_server_without_a_reranker_says_how_to_start_one(unlocked: Page) -> None:
    expect(unlocked.locator("#command")).to_contain_text("minilm-jax serve --reranker ")
    expect(unlocked.locator("#query")).to_be_hidden()


def test_live_figures_appear(page: Page) -> None:
    expect(page.locator("#p50_ms")).to_contain_text("ms")
    expect(page.locator("#requests_per_second")).not_to_have_text("–")
    expect(page.locator("#live-section polyline[points]")).to_have_count(5)


def test_hidden_page_asks_for_no_live_figures(page: Page) -> None:
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(1500)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.wait_for_timeout(1500)
    assert sent == []
    with page.expect_request("**/live"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("tab", _TABS)
def test_copied_code_is_the_shown_code(page: Page, tab: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("tab", name=tab).click()
    page.locator("[data-copies=code]").click()
    expect(page.locator("[data-copies=code]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#code").inner_text()


def test_code_is_selected_where_there_is_no_clipboard(page: Page) -> None:
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("[data-copies=code]").click()
    assert page.evaluate("getSelection().toString()").strip() == page.locator("#code").inner_text().strip()


def test_arrow_keys_change_the_language(page: Page) -> None:
    page.get_by_role("tab", name="curl").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="JavaScript")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#code")).to_contain_text("curl http://127.0.0.1:")


def test_shown_code_of_python_and_curl_runs(page: Page) -> None:
    page.fill("#texts", _TEXTS)
    expect(page.locator("#summary")).to_contain_text("2 texts")
    expected = page.request.post(f"{page.url}embed", data={"inputs": _TEXTS.split("\n")}).json()
    for tab in _TABS[1:3]:
        assert _run_python(_code(page, tab)) == pytest.approx(expected[1][0], abs=1e-5)
    answer = subprocess.run(["bash", "-c", _code(page, "curl")], capture_output=True, text=True, check=True).stdout
    assert answer.count('"embedding":[') == 2 or answer.count('"embedding": [') == 2


def test_shown_javascript_runs(page: Page) -> None:
    page.fill("#texts", _TEXTS)
    expect(page.locator("#summary")).to_contain_text("2 texts")
    code = _code(page, "JavaScript")
    sizes = page.evaluate(f"async () => {{ {code}\nreturn vectors.map(vector => vector.length); }}")
    assert sizes == [384, 384]


def test_shown_code_names_a_variable_for_the_key(unlocked: Page) -> None:
    for tab in _TABS:
        code = _code(unlocked, tab)
        assert "API_KEY" in code
        assert KEY not in code
    assert isinstance(_run_python(_code(unlocked, "Python, httpx")), float)


@pytest.fixture
def unlocked(new_page: Callable[[str], Page], locked_server: str, allowed: list[str]) -> Page:
    """The page of a server with a key, after the key was entered."""
    allowed.append("status of 401")
    page = new_page(locked_server)
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.locator(".cell")).to_have_count(36)
    return page


def _code(page: Page, tab: str) -> str:
    page.get_by_role("tab", name=tab).click()
    return page.locator("#code").inner_text()


def _run_python(code: str) -> float:
    command = [sys.executable, "-c", f"{code}\nprint(vectors[1][0])"]
    environment = {**os.environ, "API_KEY": KEY}
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)

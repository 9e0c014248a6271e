"""Errors: each is a sentence next to what was asked, and the page goes on when the server answers again."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.helpers.server import KEY, serving

_TEXTS_ERROR = "#texts-section .error"


def test_busy_server_is_asked_again(page: Page, allowed: list[str]) -> None:
    allowed.append("status of 429")
    _answer_once(
        page, "**/embed", 429, '{"error": "The queue is full", "error_type": "Overloaded"}', {"Retry-After": "1"}
    )
    page.fill("#texts", "asked\nagain")
    expect(page.locator(_TEXTS_ERROR)).to_have_text("The queue is full. The request is sent again in 1 second.")
    expect(page.locator(".cell")).to_have_count(4)
    expect(page.locator(_TEXTS_ERROR)).to_be_empty()


def test_refusal_is_shown_until_the_texts_change(page: Page, allowed: list[str]) -> None:
    allowed.append("status of 413")
    _answer_once(page, "**/tokenize", 413, '{"error": "The body is larger than 2 MB.", "error_type": "Validation"}')
    page.fill("#texts", "too\nlong")
    expect(page.locator(_TEXTS_ERROR)).to_have_text("The body is larger than 2 MB.")
    expect(page.locator(_TEXTS_ERROR)).to_have_attribute("role", "alert")
    page.fill("#texts", "short\ntexts")
    expect(page.locator(_TEXTS_ERROR)).to_be_empty()


def test_error_of_the_words_appears_in_their_section(page: Page, allowed: list[str]) -> None:
    allowed.append("status of 424")
    _answer_once(page, "**/explain", 424, '{"error": "an int8 model has no gradients.", "error_type": "Backend"}')
    page.click('[data-pair="2 3"]')
    expect(page.locator("#words-section .error")).to_have_text("an int8 model has no gradients.")
    expect(page.locator(_TEXTS_ERROR)).to_be_empty()


def test_error_without_a_json_body_names_its_status(page: Page, allowed: list[str]) -> None:
    allowed.append("status of 502")
    _answer_once(page, "**/embed", 502, "<html>Bad gateway")
    page.fill("#texts", "through\na proxy")
    expect(page.locator(_TEXTS_ERROR)).to_have_text("The server answered with status 502.")


def test_answer_of_another_form_is_reported(page: Page) -> None:
    _answer_once(page, "**/embed", 200, "{}")
    page.fill("#texts", "some\ntexts")
    expect(page.locator(_TEXTS_ERROR)).to_have_text(re.compile("^The server's answer cannot be shown: "))


def test_page_recovers_when_a_stopped_server_starts_again(new_page: Callable[[str], Page], allowed: list[str]) -> None:
    allowed.append("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED")
    with serving() as address:
        page = new_page(address)
        page.wait_for_selector("#words .word")
    page.fill("#texts", "sent while\nit is stopped")
    sentence = "The server cannot be reached. The request is sent again when it answers."
    expect(page.locator(_TEXTS_ERROR)).to_have_text(sentence)
    expect(page.locator("#state")).to_have_text("no answer")
    with serving(port=int(address.rpartition(":")[2])):
        expect(page.locator("#state")).to_have_text("ready", timeout=20_000)
        expect(page.locator("#grid tbody th .name").first).to_have_text("sent while")
        expect(page.locator(".error:not(:empty)")).to_have_count(0)
        page.close()


def test_key_is_asked_for_and_kept_in_the_tab(
    new_page: Callable[[str], Page], locked_server: str, allowed: list[str]
) -> None:
    allowed.append("status of 401")
    page = new_page(locked_server)
    expect(page.locator(_TEXTS_ERROR)).to_have_text("Enter the API key at the top of the page.")
    page.get_by_label("API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#access-error")).to_have_text("The server does not accept this key.")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Use key").click()
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#texts")).to_be_focused()
    expect(page.locator(".cell")).to_have_count(36)
    expect(page.locator("#state")).to_have_text("ready")
    page.reload()
    expect(page.locator(".cell")).to_have_count(36)
    assert KEY not in page.url
    assert KEY not in page.content()
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 1]


def test_key_can_be_forgotten(new_page: Callable[[str], Page], locked_server: str, allowed: list[str]) -> None:
    allowed.append("status of 401")
    page = new_page(locked_server)
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Forget the API key").click()
    expect(page.locator("#access")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def _answer_once(page: Page, path: str, status: int, body: str, headers: dict[str, str] | None = None) -> None:
    def answer(route: Route) -> None:
        route.fulfill(status=status, body=body, content_type="application/json", headers=headers or {})

    page.route(path, answer, times=1)

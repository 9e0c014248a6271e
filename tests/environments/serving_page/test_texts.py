"""Texts: their tokens, the heat map, and the words that make two of them similar."""

import re

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, Route, expect

# The text in a row of tokens, without the ids.
_PIECES = ".piece > :first-child"


def test_typing_shows_the_tokens_and_similarities(page: Page) -> None:
    page.fill("#texts", "Kittens play.\n\nA dog barks.")
    expect(page.locator("#summary")).to_have_text("2 texts, 13 tokens")
    first = page.locator("#pieces > li").first
    assert first.locator(_PIECES).all_inner_texts() == ["[CLS]", "kitten", "##s", "play", ".", "[SEP]"]
    assert first.locator(".special").all_inner_texts() == ["[CLS]", "[SEP]"]
    vectors = _vectors(page, ["Kittens play.", "A dog barks."])
    shown = [float(text.replace("−", "-")) for text in page.locator(".cell").all_inner_texts()]
    np.testing.assert_allclose(shown, (vectors @ vectors.T).ravel(), atol=0.006)


def test_token_ids_are_shown_on_request(page: Page) -> None:
    page.fill("#texts", "hello world")
    ids = page.locator("#pieces .id")
    expect(ids).to_have_count(4)
    expect(ids.first).to_be_hidden()
    page.check("#ids")
    assert ids.all_inner_texts() == ["101", "7592", "2088", "102"]


def test_tokens_beyond_the_limit_are_marked_and_counted(page: Page) -> None:
    page.fill("#texts", "word " * 300)
    sentence = "Truncated: the model reads 256 tokens of a text, so 46 tokens are not used."
    expect(page.locator("#pieces .note.cut")).to_have_text(sentence)
    for button in page.locator("#pieces button").all()[::-1]:
        button.click()
    marks = ["cut" in (piece.get_attribute("class") or "") for piece in page.locator(".piece").all()]
    # [CLS] and 254 words are read, and [SEP].
    assert marks == [False] * 255 + [True] * 46 + [False]


def test_texts_that_fit_exactly_are_not_marked(page: Page) -> None:
    page.fill("#texts", "word " * 254)
    expect(page.locator("#summary")).to_have_text("1 text, 256 tokens")
    expect(page.locator("#pieces .cut")).to_have_count(0)


def test_one_text_has_no_heat_map(page: Page) -> None:
    page.fill("#texts", "alone")
    expect(page.locator("#grid-empty")).to_be_visible()
    expect(page.locator("#grid")).to_be_hidden()
    expect(page.locator(".word")).to_have_count(0)


def test_number_of_texts_shown_is_limited(page: Page) -> None:
    page.fill("#texts", "\n".join(f"text {i}" for i in range(30)))
    expect(page.locator("#summary")).to_have_text("24 texts, the first of 30, 96 tokens")
    expect(page.locator(".cell")).to_have_count(24 * 24)


def test_example_texts_show_the_words_of_the_most_similar_pair(page: Page) -> None:
    expect(page.locator("#pair")).to_have_text(
        re.compile("^Texts 1 and 2 have a similarity of 0.67. Largest .*“kitten”")
    )
    expect(page.locator('.cell[aria-selected="true"]')).to_have_text("0.67")


def test_clicked_cell_shows_the_words_of_its_texts(page: Page) -> None:
    page.click('[data-pair="4 5"]')
    expect(page.locator("#pair")).to_contain_text("Texts 5 and 6 have a similarity of 0.58.")
    assert _words(page.locator("#words p").first) == "Shares fell sharply after the announcement .".split()
    expect(page.locator("#words .number").first).to_have_text("5")


def test_words_carry_a_sign_besides_their_colour(page: Page) -> None:
    page.fill("#texts", "The food was not good at all\nvery good food")
    expect(page.locator("#pair")).to_contain_text("“food” +")
    for word in page.locator(".word").all():
        value = word.locator(".value").inner_text()
        kind = "minus" if value.startswith("−") else "plus"
        assert kind in (word.get_attribute("class") or "") or value == "0.00"


def test_keyboard_alone_selects_a_cell_and_reads_its_words(page: Page) -> None:
    page.focus("#texts")
    _tab_to(page, ".cell")
    expect(page.locator(".cell:focus")).to_have_attribute("data-pair", "0 1")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".cell:focus")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#pair")).to_contain_text("Texts 3 and 4 have")
    _tab_to(page, ".word")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tip")).to_have_text(re.compile(r"^“password” raises the similarity by 0\.\d{3}$"))
    page.keyboard.press("Escape")
    expect(page.locator("#tip")).to_be_hidden()


@pytest.mark.parametrize(
    ("key", "pair"),
    [("Home", "2 0"), ("End", "2 5"), ("Control+Home", "0 0"), ("Control+End", "5 5"), ("ArrowUp", "1 2")],
)
def test_keys_move_in_the_heat_map(page: Page, key: str, pair: str) -> None:
    page.click('[data-pair="2 2"]')
    page.keyboard.press(key)
    expect(page.locator(".cell:focus")).to_have_attribute("data-pair", pair)


def test_keys_stay_in_the_heat_map_at_its_edge(page: Page) -> None:
    page.click('[data-pair="5 5"]')
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".cell:focus")).to_have_attribute("data-pair", "5 5")


def test_pointer_on_a_word_shows_its_value(page: Page) -> None:
    page.hover("#words .word >> nth=1")
    expect(page.locator("#tip")).to_have_text(re.compile("^“cat” raises the similarity by"))


def test_markup_in_texts_stays_text(page: Page) -> None:
    markup = "<img src=x onerror=alert(1)>"
    page.fill("#texts", f"{markup}\n<b>bold</b>")
    expect(page.locator("#grid tbody th .name").first).to_have_text(markup)
    expect(page.locator("#words p").first).to_contain_text("onerror")
    page.fill("#documents", markup)
    expect(page.locator("#hits li")).to_contain_text([markup])
    assert page.locator("img, main b b, #grid b").count() == 0


def test_words_are_marked_by_code_points_and_keep_their_accents(page: Page) -> None:
    text = "🙂🙂 Cafe\u0301 𝒳y kitten"
    page.fill("#texts", f"{text}\nkitten")
    words = page.locator("#words p").first
    expect(words).to_contain_text("🙂🙂")
    assert _words(words) == text.split()
    pieces = page.locator("#pieces > li").first.locator(".piece:not(.special)")
    sources = [(piece.get_attribute("data-tip") or "").split(": ")[1] for piece in pieces.all()]
    assert sources[0] == "🙂🙂"
    assert sources[-1] == "kitten"


def test_outdated_requests_are_cancelled(page: Page) -> None:
    waiting: list[Route] = []
    page.route("**/embed", lambda route: waiting.append(route), times=1)
    with page.expect_request("**/embed"):
        page.fill("#texts", "first\ntexts")
    with page.expect_event("requestfailed") as failed:
        page.fill("#texts", "the second\ntexts")
    assert failed.value.url.endswith("/embed")
    assert failed.value.failure == "net::ERR_ABORTED"
    expect(page.locator("#grid tbody th .name").first).to_have_text("the second")


def test_words_of_the_last_selected_pair_are_shown(page: Page) -> None:
    waiting: list[Route] = []
    page.route("**/explain", lambda route: waiting.append(route), times=1)
    page.click('[data-pair="2 3"]')
    expect(page.locator("#words-section")).to_have_attribute("aria-busy", "true")
    page.click('[data-pair="0 1"]')
    expect(page.locator("#words-section")).not_to_have_attribute("aria-busy", "true")
    waiting[0].abort()
    expect(page.locator("#pair")).to_contain_text("Texts 1 and 2 have")
    expect(page.locator("#words-section .error")).to_be_empty()


def test_typing_sends_one_request_after_a_pause(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.fill("#texts", "")
    page.type("#texts", "one two three")
    expect(page.locator("#summary")).to_have_text("1 text, 5 tokens")
    assert sum(url.endswith("/tokenize") for url in sent) == 1


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def _words(paragraph: Locator) -> list[str]:
    return paragraph.locator(".word > :first-child").all_inner_texts()


def _vectors(page: Page, texts: list[str]) -> np.ndarray:
    response = page.request.post(f"{page.url}embed", data={"inputs": texts})
    return np.array(response.json())

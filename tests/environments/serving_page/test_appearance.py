"""Themes, phones, contrast, and accessibility."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response, expect

_PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
_DARK = {"color_scheme": "dark"}
_LIGHT = {"color_scheme": "light"}
_PAGE_COLOUR = "getComputedStyle(document.body).backgroundColor"
# Contrast as WCAG 2 defines it, of a node's text with its own background.
_CONTRAST = """node => {
  const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const luminance = colour => {
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const linear = [...pen.getImageData(0, 0, 1, 1).data].map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ratio = () => {
    const {color, backgroundColor} = getComputedStyle(node);
    const [dark, light] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  return Array.from({length: 201}, (_, step) => {
    node.style.setProperty("--share", step / 200);
    return ratio();
  });
}"""


@pytest.mark.parametrize("context", [_LIGHT, _DARK], indirect=True)
def test_button_changes_the_theme_of_the_system_and_is_remembered(page: Page) -> None:
    button = page.get_by_role("button", name="Dark theme")
    before, pressed = page.evaluate(_PAGE_COLOUR), button.get_attribute("aria-pressed")
    button.click()
    after = page.evaluate(_PAGE_COLOUR)
    assert after != before
    assert button.get_attribute("aria-pressed") != pressed
    page.reload()
    assert page.evaluate(_PAGE_COLOUR) == after


def test_theme_of_the_system_is_followed(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    light = page.evaluate(_PAGE_COLOUR)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(_PAGE_COLOUR) != light
    expect(page.get_by_role("button", name="Dark theme")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("context", [_PHONE], indirect=True)
@pytest.mark.parametrize(
    "texts",
    ["", "word" * 200 + "\n" + "a long text " * 200, "\n".join("abcdefghijkl")],
    ids=["examples", "long", "many"],
)
def test_phone_does_not_scroll_sideways(page: Page, texts: str) -> None:
    if texts:
        page.fill("#texts", texts)
        expect(page.locator("#grid tbody th .name").first).to_have_text(texts.split("\n")[0].strip())
    for tab in page.get_by_role("tab").all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("context", [_LIGHT, _DARK, _PHONE], indirect=True)
def test_no_accessibility_rule_is_violated(page: Page) -> None:
    page.fill("#texts", "The food was not good at all.\nVery good food.\n" + "word " * 300)
    expect(page.locator("#pieces .note.cut")).to_be_visible()
    expect(page.locator("#pair")).to_contain_text("“food”")
    page.add_style_tag(content="* { transition: none !important; }")
    violations: list[dict[str, Any]] = Axe().run(page).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in violations] == []


@pytest.mark.parametrize("context", [_LIGHT, _DARK], indirect=True)
@pytest.mark.parametrize("selector", [".cell >> nth=0", ".word.plus > span >> nth=0"])
def test_text_on_every_colour_has_enough_contrast(page: Page, selector: str) -> None:
    assert min(page.locator(selector).evaluate(_CONTRAST)) >= 4.5


def test_focus_is_visible_everywhere(page: Page) -> None:
    page.focus("body")
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.className")
        seen.add(name)
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2 or name == "", name
    assert {"theme", "texts", "ids", "query", "documents", "tab-curl", "code"} <= seen


def test_page_needs_nothing_but_its_own_server(page: Page) -> None:
    response = page.reload()
    assert isinstance(response, Response)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    text = response.text()
    assert set(re.findall(r"\w+://[^'\" >]*", text)) == {"http://www.w3.org/2000/svg"}


def test_page_is_one_file_without_inline_handlers(page: Page) -> None:
    handlers = "[...document.querySelectorAll('*')].flatMap(n => n.getAttributeNames()).filter(n => n.startsWith('on'))"
    assert page.evaluate(handlers) == []
    from minilm_jax import serving

    assert [path.name for path in (Path(serving.__file__).parent / "page").iterdir()] == ["index.html"]

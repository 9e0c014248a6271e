"""Fixtures of the page tests: server processes, and a browser whose console must stay empty."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from minilm_jax.checkpoints.cache import DEFAULT_MODEL, model_folder
from tests.helpers.server import KEY, serving
from tests.helpers.small_heads import cross_encoder


@pytest.fixture(scope="session")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small cross-encoder with random weights."""
    folder = tmp_path_factory.mktemp("reranker")
    cross_encoder(model_folder(DEFAULT_MODEL)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def server(reranker: Path) -> Iterator[str]:
    """Address of a server with a reranker and without keys."""
    with serving("--reranker", str(reranker)) as address:
        yield address


@pytest.fixture(scope="session")
def locked_server() -> Iterator[str]:
    """Address of a server with a key and without a reranker."""
    with serving("--api-key", KEY) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def allowed() -> list[str]:
    """Patterns of the console messages that a test expects."""
    return []


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """Window of the size and theme that a test is parametrized with."""
    context = browser.new_context(**getattr(request, "param", {}))
    yield context
    context.close()


@pytest.fixture
def new_page(context: BrowserContext, allowed: list[str]) -> Iterator[Callable[[str], Page]]:
    """Open an address; the page must log nothing but what is allowed, and send requests to this address only."""
    messages: list[str] = []
    origins: set[str] = set()
    hosts: set[str] = set()

    def log(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            messages.append(message.text)

    def open_address(address: str) -> Page:
        page = context.new_page()
        page.on("console", log)
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: origins.add(re.sub(r"^data:.*", address, request.url)[: len(address)]))
        hosts.add(address)
        page.goto(address)
        return page

    yield open_address
    assert [text for text in messages if not any(re.search(pattern, text) for pattern in allowed)] == []
    assert origins == hosts


@pytest.fixture
def page(new_page: Callable[[str], Page], server: str) -> Page:
    """The page of a server without keys, with the example texts and their words."""
    page = new_page(server)
    page.wait_for_selector("#words .word")
    return page

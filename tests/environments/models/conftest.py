"""Fixture that writes `docs/tested-models.md`."""

from collections.abc import Iterator

import pytest

from tests.environments.models.page import render
from tests.helpers.pages import rows_of_page


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows of the page, which is written at the end of a run with `--table`."""
    yield from rows_of_page(request, render)

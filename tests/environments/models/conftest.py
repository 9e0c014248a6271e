"""Fixture that writes `docs/tested-models.md`."""

from collections.abc import Iterator

import pytest

from tests.environments.models.page import render


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows of the page, which is written at the end of a run with `--table`."""
    rows: list[tuple[str, ...]] = []
    yield rows
    if (path := request.config.getoption("--table")) is not None:
        path.write_text(render(rows), "utf-8")

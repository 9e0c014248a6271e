"""Pages of the documentation that a run of the tests writes."""

from collections.abc import Callable, Iterator

import pytest

Rows = list[tuple[str, ...]]


def rows_of_page(request: pytest.FixtureRequest, render: Callable[[Rows], str]) -> Iterator[Rows]:
    """Yield a list for the rows of a page, which is written at the end of a run with `--table`."""
    rows: Rows = []
    yield rows
    if (path := request.config.getoption("--table")) is not None:
        path.write_text(render(rows), "utf-8")

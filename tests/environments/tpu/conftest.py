"""Settings for compiling on a machine without a TPU, and the fixture that writes `docs/tpu.md`."""

import os
from collections.abc import Iterator

import jax
import pytest

from tests.environments.tpu.page import render
from tests.helpers.pages import rows_of_page

# libtpu reads this when it is loaded; otherwise it would query the metadata server of a TPU machine.
os.environ["TPU_SKIP_MDS_QUERY"] = "1"
jax.config.update("jax_platforms", "cpu")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows of the page, which is written at the end of a run with `--table`."""
    yield from rows_of_page(request, render)

"""What compiling for TPUs needs: jax on the CPU, a compiler that looks for no machine, and the page of what it said."""

import os
from collections.abc import Iterator

import jax
import pytest

from tests.environments.tpu.page import render

# Read when libtpu is loaded: there is no TPU machine to ask about itself.
os.environ["TPU_SKIP_MDS_QUERY"] = "1"
jax.config.update("jax_platforms", "cpu")


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Iterator[list[tuple[str, ...]]]:
    """Rows of the page, written at the end of a run that asked for it."""
    rows: list[tuple[str, ...]] = []
    yield rows
    if (path := request.config.getoption("--table")) is not None:
        path.write_text(render(rows), "utf-8")

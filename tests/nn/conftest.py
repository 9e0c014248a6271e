"""Fixtures of the tests that compare with golden values."""

import pytest

from minilm_jax.tokens.batching import RaggedIds
from tests.helpers.golden import golden


@pytest.fixture(scope="module")
def tokens() -> RaggedIds:
    """Token ids of the golden texts."""
    return RaggedIds(golden("inputs")["ids"], golden("inputs")["lengths"])

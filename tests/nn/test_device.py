"""On whatever device jax finds, `pytest -m device`: every precision and every bucket, close to the golden values.

On a CPU, where each program takes a second or more to compile, two buckets stand for all, unless `--all-buckets` is
given.
"""

from typing import get_args

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn.params import Params
from minilm_jax.tokens.batching import LENGTH_BUCKETS, RaggedIds
from minilm_jax.tokens.packed_rows import pack
from tests.helpers.golden import golden

pytestmark = pytest.mark.device

# Short ones are compared in `test_parity` and `test_precision`.
CPU_BUCKETS = (256,)
ROWS = 4
PACKED_TEXTS = 24

# How far a vector may be from its golden one, both of unit length. Of all golden texts, on a CPU, the furthest were
# 2e-6, 0.012, 0.0015 and 0.10 away: by the order of float32 sums, and by how few digits the others have.
DISTANCE: dict[Precision, float] = {"float32": 4e-6, "bfloat16": 0.018, "float16": 0.0022, "int8": 0.15}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "length" in metafunc.fixturenames:
        few = jax.default_backend() == "cpu" and not metafunc.config.getoption("--all-buckets")
        metafunc.parametrize("length", CPU_BUCKETS if few else LENGTH_BUCKETS)


@pytest.fixture(scope="module", params=get_args(Precision))
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param


@pytest.fixture(scope="module")
def cast(precision: Precision, params: Params) -> Params:
    return mj.cast({name: tree for name, tree in params.items() if name != "pooler"}, precision)


def test_padded_batch_of_each_bucket_matches_golden_vectors(
    cast: Params, precision: Precision, length: int, tokens: RaggedIds
) -> None:
    # The longest texts that fit. No golden text has more than 256 tokens; above that, a bucket has padding in each row.
    fitting = np.flatnonzero(tokens.lengths <= length)
    rows = fitting[np.argsort(tokens.lengths[fitting])[-ROWS:]]
    vectors = np.asarray(jax.jit(mj.embed)(cast, tokens.pad(rows, (ROWS, length))))
    distances = np.linalg.norm(vectors - golden("torch")["embeddings"][rows], axis=1)
    assert distances.max() < DISTANCE[precision]


def test_packed_rows_match_golden_vectors(cast: Params, precision: Precision, tokens: RaggedIds) -> None:
    lengths = tokens.lengths[:PACKED_TEXTS]
    for batch, texts in pack(RaggedIds(tokens.ids[: lengths.sum()], lengths), budget=1_024):
        vectors = np.asarray(jax.jit(mj.embed)(cast, batch))[texts >= 0]
        distances = np.linalg.norm(vectors - golden("torch")["embeddings"][texts[texts >= 0]], axis=1)
        assert distances.max() < DISTANCE[precision]

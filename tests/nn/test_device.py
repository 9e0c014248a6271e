"""Every precision and length bucket on JAX's default device (`pytest -m device`), compared with golden values.

A CPU takes a second or more to compile each program, so it tests only one bucket unless `--all-buckets` is given.
"""

from typing import get_args

import jax
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.config import Precision
from minilm_jax.nn.params import Params
from minilm_jax.runtime.devices import describe_devices
from minilm_jax.tokens.batch_plan import BatchPlanner
from minilm_jax.tokens.batching import LENGTH_BUCKETS, RaggedIds
from minilm_jax.tokens.packed_rows import pack
from tests.helpers.golden import golden
from tests.helpers.tolerances import GOLDEN_DISTANCE

pytestmark = pytest.mark.device

# `test_parity` and `test_precision` compare short texts.
CPU_BUCKETS = (256,)
ROWS = 4
PACKED_TEXTS = 24


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
    # The longest texts that fit. Golden texts have at most 256 tokens, so longer buckets have padding in every row.
    fitting = np.flatnonzero(tokens.lengths <= length)
    rows = fitting[np.argsort(tokens.lengths[fitting])[-ROWS:]]
    vectors = np.asarray(jax.jit(mj.embed)(cast, tokens.pad(rows, (ROWS, length))))
    distances = np.linalg.norm(vectors - golden("torch")["embeddings"][rows], axis=1)
    assert distances.max() < GOLDEN_DISTANCE[precision]


def test_packed_rows_match_golden_vectors(cast: Params, precision: Precision, tokens: RaggedIds) -> None:
    lengths = tokens.lengths[:PACKED_TEXTS]
    planner = BatchPlanner(describe_devices().shapes)
    for texts, row_length in planner.plan(lengths, int(lengths.max())):
        vectors = np.asarray(jax.jit(mj.embed)(cast, pack(tokens, texts, row_length)))[texts >= 0]
        distances = np.linalg.norm(vectors - golden("torch")["embeddings"][texts[texts >= 0]], axis=1)
        assert distances.max() < GOLDEN_DISTANCE[precision]

"""`python -m benchmarks.gpu`: all variants give the same vectors, and its page is the one in the documentation."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

import minilm_jax as mj
from benchmarks.gpu.contenders import CONTENDERS
from benchmarks.gpu.levels import LEVELS
from benchmarks.gpu.page import PAGE
from benchmarks.harness.results import Report
from benchmarks.peers.ours_on_device import VARIANTS, OursOnDevice
from minilm_jax.nn.params import Params
from minilm_jax.tokens.batching import RaggedIds
from tests.helpers.paths import DOCS
from tests.helpers.tiny_model import TINY

PAGE_FILE = DOCS / "gpu.md"


def test_packed_and_padded_rows_give_the_vectors_of_embed(tiny_params: Params) -> None:
    lengths = np.array([3, 16, 7, 5], np.int32)
    tokens = RaggedIds(np.arange(lengths.sum(), dtype=np.int32), lengths)
    expected = jax.jit(mj.embed)(tiny_params, tokens.pad(np.arange(4), (4, 16)), TINY)
    encoder: Any = SimpleNamespace(params=tiny_params, config=TINY)
    # cuDNN attention needs a GPU.
    for variant in (variant for variant in VARIANTS.values() if variant.attention == "xla"):
        np.testing.assert_allclose(OursOnDevice(encoder, variant).place(tokens, budget=128), expected, atol=1e-6)


def test_contenders_include_every_variant() -> None:
    assert {dict(each.options)["variant"] for each in CONTENDERS if each.module == "ours_on_device"} == set(VARIANTS)


def test_page_describes_every_level() -> None:
    assert list(PAGE.levels) == list(LEVELS)


def test_documentation_page_equals_the_generated_page() -> None:
    data = PAGE_FILE.with_suffix(".json")
    assert PAGE_FILE.read_text("utf-8") == PAGE.render(Report.read(data) if data.exists() else Report({}))

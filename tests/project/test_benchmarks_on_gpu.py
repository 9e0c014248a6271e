"""`python -m benchmarks.gpu`: its forms compute the same vectors, and its page is the one in the documentation."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

import minilm_jax as mj
from benchmarks.gpu.contenders import ENTRIES
from benchmarks.gpu.ours import FORMS, Ours
from benchmarks.gpu.page import page
from benchmarks.results import Report
from minilm_jax.nn.params import Params
from minilm_jax.tokens.batching import RaggedIds
from tests.helpers.paths import DOCS
from tests.helpers.tiny_model import TINY

PAGE = DOCS / "gpu.md"


def test_both_layouts_give_the_vectors_of_embed(tiny_params: Params) -> None:
    lengths = np.array([3, 16, 7, 5], np.int32)
    tokens = RaggedIds(np.arange(lengths.sum(), dtype=np.int32), lengths)
    expected = jax.jit(mj.embed)(tiny_params, tokens.pad(np.arange(4), (4, 16)), TINY)
    encoder: Any = SimpleNamespace(params=tiny_params, config=TINY)
    for form in (form for form in FORMS.values() if form.attention == "xla"):  # cuDNN needs a GPU.
        np.testing.assert_allclose(Ours(encoder, form).place(tokens, budget=128), expected, atol=1e-6)


def test_every_form_is_measured() -> None:
    assert {entry.form for entry in ENTRIES if entry.module == "ours"} == set(FORMS)


def test_the_page_is_what_was_measured() -> None:
    data = PAGE.with_suffix(".json")
    assert PAGE.read_text("utf-8") == page(Report.read(data) if data.exists() else Report({}))

"""Small data and options for tests of training."""

import dataclasses
from pathlib import Path
from typing import Any

import minilm_jax as mj
from minilm_jax.tokens.tokenizer import TextTokenizer
from minilm_jax.training import TrainingOptions
from tests.helpers.small_heads import SMALL
from tests.helpers.tiny_model import random_params

SUBJECTS = ("cat", "dog", "bird", "train", "river", "bank", "child", "teacher", "storm", "song", "book", "horse")
PAIRS = [(f"the {name} is here", f"here we see a {name} again and again") for name in SUBJECTS]
SCORED = [(*pair, index / 12) for index, pair in enumerate(PAIRS)]
QUICK = TrainingOptions(
    max_steps=6, batch_size=4, learning_rate=1e-3, log_steps=1, evaluations=1, checkpoints=2, dropout=False
)


def quick(**changes: Any) -> TrainingOptions:
    """Return options of a run of a few steps."""
    return dataclasses.replace(QUICK, **changes)


def small_encoder(folder: Path, layers: int = 1, **settings: Any) -> mj.SentenceEncoder:
    """Return an encoder with random params and the tokenizer of a model folder."""
    config = dataclasses.replace(SMALL, normalize=True, num_hidden_layers=layers)
    tokenizer = TextTokenizer(folder / "tokenizer.json")
    params = random_params(config, seed=7)
    return mj.SentenceEncoder(params, tokenizer=tokenizer, **{"max_seq_length": 40, **settings})

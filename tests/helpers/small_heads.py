"""Small cross-encoders and sparse encoders with random params and the real vocabulary."""

import dataclasses
from pathlib import Path
from typing import Any

import minilm_jax as mj
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.tiny_model import TINY, random_params

SMALL = dataclasses.replace(TINY, vocab_size=30_522, max_position_embeddings=48, normalize=False)
RERANKER = dataclasses.replace(SMALL, classifier=mj.Classifier(("LABEL_0",)))
NLI = dataclasses.replace(SMALL, classifier=mj.Classifier(("contradiction", "entailment", "neutral")))
SPLADE = dataclasses.replace(SMALL, sparse_head=mj.SparseHead())


def cross_encoder(folder: Path, config: mj.EncoderConfig = RERANKER, **settings: Any) -> mj.CrossEncoder:
    """Return a cross-encoder with random params and the tokenizer of a model folder."""
    tokenizer = TextTokenizer(folder / "tokenizer.json", token_types=config.type_vocab_size > 1)
    return mj.CrossEncoder(random_params(config, seed=5), tokenizer=tokenizer, **{"max_seq_length": 40, **settings})


def sparse_encoder(folder: Path, config: mj.EncoderConfig = SPLADE, **settings: Any) -> mj.SparseEncoder:
    """Return a sparse encoder with random params and the tokenizer of a model folder."""
    tokenizer = TextTokenizer(folder / "tokenizer.json")
    return mj.SparseEncoder(random_params(config, seed=6), tokenizer=tokenizer, **{"max_seq_length": 40, **settings})

"""Similarity functions and quantization from `minilm_jax.vectors`, as part of the public search module."""

from minilm_jax.vectors.quantization import quantize_embeddings as quantize_embeddings
from minilm_jax.vectors.similarity import (
    ScoreFunction as ScoreFunction,
    cos_sim as cos_sim,
    dot_score as dot_score,
    euclidean_sim as euclidean_sim,
    manhattan_sim as manhattan_sim,
    pairwise_cos_sim as pairwise_cos_sim,
    pairwise_dot_score as pairwise_dot_score,
    pairwise_euclidean_sim as pairwise_euclidean_sim,
    pairwise_manhattan_sim as pairwise_manhattan_sim,
)

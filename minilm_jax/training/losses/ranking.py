"""The contrastive loss with in-batch negatives (InfoNCE)."""

from collections.abc import Sequence
from typing import get_args

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

from minilm_jax.config import PartitionMode, RankingDirection
from minilm_jax.errors import InputError
from minilm_jax.training.losses.duplicates import positives_of
from minilm_jax.training.losses.rows import columns, mean
from minilm_jax.vectors.similarity import similarity_functions


def multiple_negatives_ranking(
    vectors: Sequence[ArrayLike],
    labels: ArrayLike | None = None,
    *,
    scale: float = 20.0,
    similarity: str = "cosine",
    directions: Sequence[RankingDirection] = ("query_to_doc",),
    partition_mode: PartitionMode = "joint",
    ids: ArrayLike | None = None,
    valid: ArrayLike | None = None,
) -> Array:
    """Compute the cross-entropy of finding the positive of each query among all documents of the batch.

    The documents of the batch are all positives and negatives. The logits are similarities times `scale`, as in
    MultipleNegativesRankingLoss of sentence-transformers (van den Oord et al. 2018, arXiv 1807.03748).

    Args:
        vectors: Queries, positives, and any number of columns of negatives, float[B, D] each.
        labels: Not used.
        scale: The factor of the similarities: 1 divided by the temperature.
        similarity: "cosine", "dot", "euclidean" or "manhattan".
        directions: The candidates of a row. "query_to_doc": all documents, for the query. "doc_to_query": all queries,
            for the positive. "query_to_query" and "doc_to_doc": the queries and the documents of other rows.
        partition_mode: "joint": one softmax over the candidates of all directions. "per_direction": the mean of one
            cross-entropy per direction; with the first two directions, the symmetric loss of CLIP.
        ids: int[B, C] ids of the texts, see `text_ids`; or None. A candidate other than the own positive is left out of
            the softmax if its text is the query, or a positive of the same query in any row.
        valid: bool[B], false for padding rows, or None.

    Returns:
        The mean over the rows, a scalar.

    Raises:
        InputError: There are fewer than two columns, or the directions are invalid.
    """
    del labels
    _check(directions, partition_mode)
    queries, positives, *negatives = columns(vectors, valid, 2)
    compare = similarity_functions(similarity).all_pairs
    documents = jnp.concatenate([positives, *negatives])
    sides: dict[RankingDirection, tuple[Array, Array]] = {
        "query_to_doc": (queries, documents),
        "doc_to_query": (positives, queries),
        "query_to_query": (queries, queries),
        "doc_to_doc": (positives, documents),
    }
    blocks = [
        jnp.where(_candidates(name, len(queries), sides[name][1], ids, valid), scale * compare(*sides[name]), -jnp.inf)
        for name in sides
        if name in directions
    ]
    # The first block is "query_to_doc", so column i of the blocks is the positive of row i in both modes.
    choices = [jnp.concatenate(blocks, axis=1)] if partition_mode == "joint" else blocks
    own = jnp.arange(len(queries))
    losses = [optax.losses.softmax_cross_entropy_with_integer_labels(logits, own) for logits in choices]
    return mean(sum(losses[1:], losses[0]) / len(losses), valid)


def _check(directions: Sequence[RankingDirection], partition_mode: PartitionMode) -> None:
    if unknown := set(directions) - set(get_args(RankingDirection)):
        raise InputError(f"no direction {min(unknown)!r}; it must be one of {', '.join(get_args(RankingDirection))}.")
    same_side = {"query_to_query", "doc_to_doc"} & set(directions)
    if "query_to_doc" not in directions:
        raise InputError(f"directions is {directions!r}; it must contain 'query_to_doc', which has the positives.")
    if partition_mode == "per_direction" and same_side:
        raise InputError(
            f"partition_mode 'per_direction' cannot be used with {', '.join(sorted(same_side))}, which have no"
            " positives; use 'joint'."
        )


def _candidates(
    direction: RankingDirection, rows: int, candidates: Array, ids: ArrayLike | None, valid: ArrayLike | None
) -> Array:
    """Return which candidates of a direction are in the softmax of which row, bool[B, N]."""
    row, column = jnp.arange(rows)[:, None], jnp.arange(len(candidates))[None]
    is_own_row = row == column % rows
    allowed = jnp.ones((rows, len(candidates)), bool)
    if valid is not None:
        allowed &= jnp.tile(jnp.asarray(valid, bool), len(candidates) // rows)[None]
    if ids is not None:
        allowed &= ~_true_matches(direction, jnp.asarray(ids))
    is_positive = row == column
    return allowed & ~is_own_row if direction in ("query_to_query", "doc_to_doc") else allowed | is_positive


def _true_matches(direction: RankingDirection, ids: Array) -> Array:
    if direction == "doc_to_query":
        return positives_of(ids, ids[:, 1]).T
    if direction == "query_to_query":
        return positives_of(ids, ids[:, 0])
    return positives_of(ids, ids[:, 1:].T.reshape(-1))

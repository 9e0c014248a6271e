"""Search over binary vectors, 32 times smaller than float32: candidates by Hamming distance, rescored in float32."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.nn.settings import device_use
from minilm_jax.search.exact import Hit, Nearest, as_hits, nearest
from minilm_jax.vectors.quantization import quantize_embeddings


@device_use()
def hamming_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the negative Hamming distance between every row of `a` and every row of `b`.

    Args:
        a: uint8[n, B], eight bits per byte, or one vector [B]; or int8 from "binary".
        b: [m, B], of the same type.

    Returns:
        float32[n, m], the negative number of bits that differ.

    Raises:
        InputError: The vectors are not packed bits of one precision and size.
    """
    a, b = jnp.atleast_2d(jnp.asarray(a)), jnp.atleast_2d(jnp.asarray(b))
    if a.dtype != b.dtype or a.dtype not in (jnp.uint8, jnp.int8) or a.shape[-1] != b.shape[-1]:
        raise InputError(
            f"vectors {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)} cannot be compared; pass packed bits of one"
            " precision, 'binary' or 'ubinary', and one size."
        )
    different = jnp.bitwise_xor(a[:, None], b[None])
    return -jnp.sum(lax.population_count(different), axis=-1, dtype=jnp.int32).astype(jnp.float32)


@device_use()
def semantic_search_binary(
    query_embeddings: ArrayLike, corpus_embeddings: ArrayLike, top_k: int = 10, rescore_multiplier: int = 2
) -> list[list[Hit]]:
    """Search a binary corpus with float queries.

    The `top_k * rescore_multiplier` vectors with the smallest Hamming distance to the binarized query are the
    candidates. They are rescored, as in sentence-transformers, by the dot product of the float query with their bits
    (0 or 1).

    Args:
        query_embeddings: float[n, D], or one vector [D].
        corpus_embeddings: uint8[m, ceil(D / 8)] from `quantize_embeddings(…, "ubinary")`, or int8 from "binary".
        top_k: Maximum number of hits per query.
        rescore_multiplier: Candidates per returned hit.

    Returns:
        For each query min(top_k, m) hits, best first.

    Raises:
        InputError: The corpus is not binary, its number of bits does not match the queries, a query is not finite, or
            a size is not positive.
    """
    top_k, multiplier = integer("top_k", top_k), integer("rescore_multiplier", rescore_multiplier)
    queries, bits = np.atleast_2d(np.asarray(query_embeddings, np.float32)), _as_unsigned(corpus_embeddings)
    if not np.isfinite(queries).all():
        raise InputError("a query has NaN or infinity.")
    found = nearest(quantize_embeddings(queries, "ubinary"), bits, top_k * multiplier, hamming_sim)
    candidates = [ids for tile in found for ids in tile.ids]
    return [_rescore(query, ids, bits, top_k) for query, ids in zip(queries, candidates, strict=True)]


def _rescore(query: NDArray[np.float32], ids: NDArray[np.int32], bits: NDArray[np.uint8], k: int) -> list[Hit]:
    scores = np.unpackbits(bits[ids], axis=-1, count=len(query)) @ query
    best = np.argsort(-scores, kind="stable")[:k]
    return as_hits(Nearest(scores[None, best], ids[None, best]))[0]


def _as_unsigned(vectors: ArrayLike) -> NDArray[np.uint8]:
    vectors = np.asarray(vectors)
    if vectors.dtype == np.uint8:
        return vectors
    if vectors.dtype == np.int8:
        return vectors.view(np.uint8) ^ np.uint8(128)  # "binary" is "ubinary" minus 128.
    raise InputError(f"the corpus is {vectors.dtype}; binary vectors are uint8 or int8, see quantize_embeddings.")

"""Search over binary vectors, 32 times smaller than float32: candidates by their bits, rescored by the float query."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from minilm_jax.errors import InputError
from minilm_jax.search.exact import Hit, Nearest, as_hits, nearest
from minilm_jax.vectors.quantization import quantize_embeddings


def hamming_sim(a: ArrayLike, b: ArrayLike) -> Array:
    """Returns the negative number of bits in which every row of a differs from every row of b.

    Args:
        a: uint8[n, B], eight bits a byte.
        b: uint8[m, B].

    Returns:
        float32[n, m].
    """
    different = jnp.bitwise_xor(jnp.asarray(a)[:, None], jnp.asarray(b)[None])
    return -jnp.sum(lax.population_count(different), axis=-1, dtype=jnp.int32).astype(jnp.float32)


def semantic_search_binary(
    query_embeddings: ArrayLike, corpus_embeddings: ArrayLike, top_k: int = 10, rescore_multiplier: int = 2
) -> list[list[Hit]]:
    """Searches a binary corpus: top_k · rescore_multiplier candidates by their bits, then the best by float queries.

    The score of a hit is the dot product of the float query with the bits of the entry, 0 or 1; that is how
    sentence-transformers rescores.

    Args:
        query_embeddings: float[n, D], or one vector float[D].
        corpus_embeddings: uint8[m, ceil(D / 8)] of `quantize_embeddings(…, "ubinary")`, or int8 of "binary".
        top_k: Most hits for each query.
        rescore_multiplier: How many times more candidates are looked at than are returned.

    Returns:
        A list for each query, of the lesser of top_k and m hits, best first.

    Raises:
        InputError: The corpus is not binary, its bits do not fit the queries, or a size is not positive.
    """
    queries, bits = np.atleast_2d(np.asarray(query_embeddings, np.float32)), _as_bits(corpus_embeddings)
    if not np.isfinite(queries).all():
        raise InputError("a query has NaN or infinity.")
    found = nearest(quantize_embeddings(queries, "ubinary"), bits, top_k * rescore_multiplier, hamming_sim)
    candidates = [ids for chunk in found for ids in chunk.ids]
    return [_rescored(query, ids, bits, top_k) for query, ids in zip(queries, candidates, strict=True)]


def _rescored(query: NDArray[np.float32], ids: NDArray[np.int32], bits: NDArray[np.uint8], k: int) -> list[Hit]:
    scores = np.unpackbits(bits[ids], axis=-1, count=len(query)) @ query
    best = np.argsort(-scores, kind="stable")[:k]
    return as_hits(Nearest(scores[None, best], ids[None, best]))[0]


def _as_bits(vectors: ArrayLike) -> NDArray[np.uint8]:
    vectors = np.asarray(vectors)
    if vectors.dtype == np.uint8:
        return vectors
    if vectors.dtype == np.int8:
        return vectors.view(np.uint8) ^ np.uint8(128)  # "binary" is "ubinary" less 128.
    raise InputError(f"the corpus is {vectors.dtype}; binary vectors are uint8 or int8, see quantize_embeddings.")

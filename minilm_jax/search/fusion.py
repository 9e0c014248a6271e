"""Fusion of the results of several searches by the ranks of their hits."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError
from minilm_jax.search.exact import Hit


def reciprocal_rank_fusion(
    results: Sequence[Sequence[Sequence[Hit]]], k: int = 60, top_k: int | None = None
) -> list[list[Hit]]:
    """Fuse the results of several searches for the same queries, such as a dense and a sparse one.

    The score of a document is the sum of 1 / (k + rank) over the searches that found it, with ranks from 1 (Cormack,
    Clarke and Büttcher, 2009). Scores of the searches are not compared, so they may have any scale.

    Args:
        results: For each search its result: for each query a list of hits, best first.
        k: Constant; a larger one reduces the weight of the first ranks.
        top_k: Maximum number of hits per query; by default all.

    Returns:
        For each query the fused hits, best first; among equal scores the smaller id comes first.

    Raises:
        InputError: The searches have different numbers of queries, a search found a document twice, k is negative, or
            top_k is not positive.
    """
    k = integer("k", k, minimum=0)
    if top_k is not None:
        top_k = integer("top_k", top_k)
    if any(isinstance(ranking, Mapping) for result in results for ranking in result):
        raise InputError("results has hits in place of lists of hits; pass [[hits], [hits]] for one query.")
    if len(counts := {len(result) for result in results}) > 1:
        raise InputError(f"the searches have {' and '.join(map(str, sorted(counts)))} queries; they must be the same.")
    return [_fuse(rankings, k)[:top_k] for rankings in zip(*results, strict=True)]


def _fuse(rankings: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    shares: defaultdict[int, list[float]] = defaultdict(list)
    for ranking in rankings:
        ids = [hit["corpus_id"] for hit in ranking]
        if len(set(ids)) < len(ids):
            raise InputError("a document occurs twice in a ranking; remove duplicates before they are fused.")
        for rank, id in enumerate(ids, 1):
            shares[id].append(1 / (k + rank))
    # The exact sum does not depend on the order of the searches, so equal scores stay equal.
    fused = [Hit(corpus_id=id, score=math.fsum(own)) for id, own in shares.items()]
    return sorted(fused, key=lambda hit: (-hit["score"], hit["corpus_id"]))

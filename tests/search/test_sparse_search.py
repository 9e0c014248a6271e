"""`semantic_search_sparse` and `reciprocal_rank_fusion` compared with brute force."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

from minilm_jax import search
from minilm_jax.errors import InputError

V = 50


def sparse(count: int, seed: int = 0, *, whole: bool = False) -> Any:
    """Return random sparse rows; those of `whole` numbers have many equal scores, also below 0."""
    random = np.random.default_rng(seed)
    values = random.integers(-1, 3, (count, V)) if whole else random.random((count, V))
    return csr_array(np.where(random.random((count, V)) < 0.1, values, 0).astype(np.float32))


def brute_force(queries: Any, corpus: Any, top_k: int) -> list[list[dict[str, Any]]]:
    scores = queries.toarray().astype(np.float64) @ corpus.toarray().astype(np.float64).T
    ranked = [sorted((id for id in range(len(row)) if row[id] > 0), key=lambda id: (-row[id], id)) for row in scores]
    return [
        [{"corpus_id": id, "score": row[id]} for id in ids[:top_k]] for row, ids in zip(scores, ranked, strict=True)
    ]


def ids(results: list[list[search.Hit]]) -> list[list[int]]:
    return [[hit["corpus_id"] for hit in hits] for hits in results]


# semantic_search_sparse


@pytest.mark.parametrize("top_k", [1, 7, 1_000])
@pytest.mark.parametrize("chunk", [None, 1, 4, 100])
def test_search_finds_the_documents_with_the_largest_products(top_k: int, chunk: int | None) -> None:
    queries, corpus = sparse(9, 1), sparse(200)
    found = search.semantic_search_sparse(queries, corpus, top_k, chunk)
    expected = brute_force(queries, corpus, top_k)
    assert ids(found) == [[hit["corpus_id"] for hit in hits] for hits in expected]
    for hits, wanted in zip(found, expected, strict=True):
        assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in wanted], rel=1e-6)
    assert {type(value) for hit in found[0] for value in hit.values()} == {int, float}


@pytest.mark.parametrize("top_k", [1, 3, 20])
def test_equal_scores_are_in_corpus_order_and_only_positive_ones_are_found(top_k: int) -> None:
    queries, corpus = sparse(20, 1, whole=True), sparse(200, whole=True)
    assert (queries @ corpus.T).data.min() < 0
    assert search.semantic_search_sparse(queries, corpus, top_k) == brute_force(queries, corpus, top_k)


@pytest.mark.parametrize("form", [csr_matrix, coo_array, lambda m: m.tocsc(), lambda m: m.toarray()])
def test_search_accepts_any_form_of_matrix(form: Any) -> None:
    queries, corpus = sparse(3, 1), sparse(30)
    assert search.semantic_search_sparse(form(queries), form(corpus)) == search.semantic_search_sparse(queries, corpus)


def test_search_accepts_one_vector() -> None:
    queries, corpus = sparse(3, 1), sparse(30)
    expected = search.semantic_search_sparse(queries, corpus)[1]
    assert search.semantic_search_sparse(queries.toarray()[1], corpus) == [expected]
    assert ids(search.semantic_search_sparse(corpus, corpus.toarray()[4])) == [
        [0] if product > 0 else [] for product in corpus.toarray() @ corpus.toarray()[4]
    ]


def test_search_does_not_change_or_convert_an_inverted_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, corpus = sparse(3, 1), sparse(30)
    inverted = corpus.tocsc()
    expected = search.semantic_search_sparse(queries, corpus)
    monkeypatch.setattr(csc_array, "tocsr", lambda *_, **__: pytest.fail("the corpus was inverted"))
    assert search.semantic_search_sparse(queries, inverted) == expected
    assert (inverted.toarray() == corpus.toarray()).all()


def test_empty_queries_and_corpora_have_no_hits() -> None:
    assert search.semantic_search_sparse(csr_array((2, V)), sparse(5)) == [[], []]
    assert search.semantic_search_sparse(sparse(2), csr_array((0, V))) == [[], []]
    assert search.semantic_search_sparse(csr_array((0, V)), sparse(5)) == []


def test_memory_is_bounded_by_the_chunk_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    product = csr_array.__matmul__

    def record(self: Any, other: Any) -> Any:
        counts.append(self.shape[0])
        return product(self, other)

    monkeypatch.setattr(csr_array, "__matmul__", record)
    search.semantic_search_sparse(sparse(10), sparse(5), query_chunk_size=4)
    assert counts == [4, 4, 2]
    monkeypatch.setattr("minilm_jax.search.sparse._SCORES_PER_CHUNK", 30)
    search.semantic_search_sparse(sparse(10), sparse(5))
    assert counts[3:] == [6, 4]
    search.semantic_search_sparse(sparse(2), sparse(100))
    assert counts[5:] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((sparse(2), csr_array((2, V + 1))), "the queries have 50 dimensions, the corpus 51"),
        ((sparse(2), csr_array([[np.nan] * V])), "corpus_embeddings contains NaN"),
        ((csr_array([[np.inf] * V]), sparse(2)), "query_embeddings contains NaN, infinity"),
        ((sparse(2), sparse(2), 0), "top_k is 0"),
        ((sparse(2), sparse(2), 1, 0), "query_chunk_size is 0"),
        ((["a text"], sparse(2)), "pass the matrix that SparseEncoder.encode returns"),
    ],
)
def test_invalid_arguments_raise_error(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        search.semantic_search_sparse(*arguments)


# reciprocal_rank_fusion


def rankings(seed: int) -> list[list[search.Hit]]:
    random = np.random.default_rng(seed)
    orders = [random.permutation(30)[: random.integers(0, 30)].tolist() for _ in range(5)]
    return [[{"corpus_id": id, "score": -float(place)} for place, id in enumerate(order)] for order in orders]


@pytest.mark.parametrize("k", [0, 1, 60])
@pytest.mark.parametrize("top_k", [None, 4])
def test_fused_score_is_the_sum_of_reciprocal_ranks(k: int, top_k: int | None) -> None:
    searches = [rankings(seed) for seed in range(3)]
    fused = search.reciprocal_rank_fusion(searches, k, top_k)
    for query, hits in enumerate(fused):
        exact: dict[int, Fraction] = {}
        for each in searches:
            for rank, hit in enumerate(each[query], 1):
                exact[hit["corpus_id"]] = exact.get(hit["corpus_id"], Fraction(0)) + Fraction(1, k + rank)
        order = sorted(exact, key=lambda id: (-exact[id], id))[:top_k]
        assert [hit["corpus_id"] for hit in hits] == order
        assert [hit["score"] for hit in hits] == pytest.approx([float(exact[id]) for id in order], rel=1e-12)


def test_fusion_does_not_depend_on_the_order_of_the_searches() -> None:
    searches = [rankings(seed) for seed in range(7)]
    assert search.reciprocal_rank_fusion(searches) == search.reciprocal_rank_fusion(searches[::-1])


def test_document_that_both_searches_found_comes_first() -> None:
    dense = [[search.Hit(corpus_id=3, score=0.9), search.Hit(corpus_id=1, score=0.8)]]
    words = [[search.Hit(corpus_id=2, score=17.0), search.Hit(corpus_id=1, score=9.0)]]
    assert search.reciprocal_rank_fusion([dense, words]) == [
        [
            {"corpus_id": 1, "score": 1 / 62 + 1 / 62},
            {"corpus_id": 2, "score": 1 / 61},
            {"corpus_id": 3, "score": 1 / 61},
        ]
    ]


def test_fusion_of_nothing_is_empty() -> None:
    assert search.reciprocal_rank_fusion([]) == []
    assert search.reciprocal_rank_fusion([[], []]) == []
    assert search.reciprocal_rank_fusion([[[]], [[]]]) == [[]]


@pytest.mark.parametrize(
    ("results", "options", "message"),
    [
        ([[[]], [[], []]], {}, "1 and 2 queries"),
        ([[{"corpus_id": 1, "score": 1.0}]], {}, "for one query"),
        ([[[{"corpus_id": 1, "score": 1.0}] * 2]], {}, "occurs twice"),
        ([], {"k": -1}, "k is -1"),
        ([], {"top_k": 0}, "top_k is 0"),
    ],
)
def test_invalid_results_raise_error(results: Any, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        search.reciprocal_rank_fusion(results, **options)

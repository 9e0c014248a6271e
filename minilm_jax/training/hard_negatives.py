"""`mine_hard_negatives`: texts of a corpus that are similar to a query and are not its answer."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias, TypedDict, get_args

import numpy as np

from minilm_jax.arguments import integer
from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.errors import InputError
from minilm_jax.search.exact import semantic_search
from minilm_jax.sentence_encoder import SentenceEncoder

Sampling: TypeAlias = Literal["top", "random"]


class MinedRow(TypedDict):
    """A row for `TrainingData.from_rows`.

    Attributes:
        query: The query.
        positive: Its answer.
        negatives: Texts that are similar to the query and are not its answers.
    """

    query: str
    positive: str
    negatives: list[str]


@dataclasses.dataclass(frozen=True)
class _Rules:
    """Which candidates are negatives; the fields are arguments of `mine_hard_negatives`."""

    range_min: int
    range_max: int
    max_score: float | None
    min_score: float | None
    absolute_margin: float | None
    relative_margin: float | None

    def __post_init__(self) -> None:
        if integer("range_max", self.range_max) <= integer("range_min", self.range_min, 0):
            raise InputError(f"range_max is {self.range_max}; it must be larger than range_min, {self.range_min}.")

    def allow(self, score: float, positive: float) -> bool:
        """Return whether a candidate with a score fits an answer with a score."""
        highest = [] if self.max_score is None else [self.max_score]
        if self.absolute_margin is not None:
            highest.append(positive - self.absolute_margin)
        if self.relative_margin is not None:
            # A share of the size of the score, so that negative scores work too.
            highest.append(positive - abs(positive) * self.relative_margin)
        return all(score <= limit for limit in highest) and (self.min_score is None or score >= self.min_score)


def mine_hard_negatives(
    pairs: Iterable[tuple[str, str]],
    encoder: SentenceEncoder,
    *,
    corpus: Sequence[str] | None = None,
    cross_encoder: CrossEncoder | None = None,
    range_min: int = 0,
    range_max: int = 100,
    max_score: float | None = None,
    min_score: float | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = None,
    num_negatives: int = 3,
    sampling_strategy: Sampling = "top",
    seed: int = 0,
) -> list[MinedRow]:
    """Find hard negatives for pairs of a query and its answer.

    The parameters are those of `mine_hard_negatives` of sentence-transformers.

    Args:
        pairs: Queries and their answers. A query may occur several times; all its answers are left out.
        encoder: Finds the candidates: the texts of the corpus that are most similar to the query.
        corpus: Texts to choose from; by default the answers of all pairs.
        cross_encoder: Scores the candidates again; the scores and margins are then its scores.
        range_min: Number of the most similar candidates to skip.
        range_max: Rank up to which candidates are considered.
        max_score: Candidates with a higher score are left out.
        min_score: Candidates with a lower score are left out.
        absolute_margin: Candidates must score this much lower than the answer.
        relative_margin: Candidates must score below (1 - relative_margin) times the score of the answer.
        num_negatives: Negatives per pair; pairs with fewer of them are left out.
        sampling_strategy: "top" for the highest scores, or "random".
        seed: Number that determines the random choice.

    Returns:
        One dict per pair with enough negatives.

    Raises:
        InputError: There are no pairs, or an argument is invalid.
    """
    rules = _Rules(range_min, range_max, max_score, min_score, absolute_margin, relative_margin)
    rows = [(query, answer) for query, answer in pairs]
    if not rows:
        raise InputError("there are no pairs; pass at least one query with its answer.")
    if sampling_strategy not in get_args(Sampling):
        raise InputError(f"sampling_strategy is {sampling_strategy!r}; it must be 'top' or 'random'.")
    texts = [*dict.fromkeys(answer for _, answer in rows)] if corpus is None else [*dict.fromkeys(corpus)]
    vectors = _Vectors(encoder, rows, texts)
    candidates = _candidates(rows, vectors, texts, rules)
    # Each pair with its answer, followed by its candidates.
    scored_pairs = [
        (query, text) for (query, answer), own in zip(rows, candidates, strict=True) for text in (answer, *own)
    ]
    scores = iter(
        vectors.scores(scored_pairs) if cross_encoder is None else cross_encoder.predict(scored_pairs).tolist()
    )
    random, count, mined = np.random.default_rng(seed), integer("num_negatives", num_negatives), []
    for (query, answer), own in zip(rows, candidates, strict=True):
        positive = next(scores)
        scored = sorted(((next(scores), text) for text in own), key=lambda pair: -pair[0])
        allowed = [text for score, text in scored if rules.allow(score, positive)]
        if len(allowed) >= count:
            if sampling_strategy == "random":
                allowed = [allowed[index] for index in random.permutation(len(allowed))]
            mined.append(MinedRow(query=query, positive=answer, negatives=allowed[:count]))
    return mined


class _Vectors:
    """Vectors of all queries, answers and texts, each computed once.

    Attributes:
        queries: float32[q, D], one per query, in the order of their first pairs.
        texts: float32[n, D], the texts of the corpus, and then the answers that are not among them.
    """

    def __init__(self, encoder: SentenceEncoder, rows: Sequence[tuple[str, str]], texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._query_rows = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in rows))}
        self._text_rows = {text: row for row, text in enumerate(dict.fromkeys([*texts, *(text for _, text in rows)]))}
        self.queries = encoder.encode_query([*self._query_rows])
        self.texts = encoder.encode_document([*self._text_rows])

    def scores(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the similarity of each pair of a query and a text."""
        queries = self.queries[[self._query_rows[query] for query, _ in pairs]]
        texts = self.texts[[self._text_rows[text] for _, text in pairs]]
        return np.asarray(self._encoder.similarity_pairwise(queries, texts)).tolist()


def _candidates(
    rows: Sequence[tuple[str, str]], vectors: _Vectors, texts: Sequence[str], rules: _Rules
) -> list[list[str]]:
    """Return the most similar texts for each pair, without the query and its answers."""
    answers: dict[str, set[str]] = {}
    for query, answer in rows:
        answers.setdefault(query, {query}).add(answer)
    top_k = rules.range_max + max(map(len, answers.values()))
    hits = semantic_search(vectors.queries, vectors.texts[: len(texts)], top_k=top_k)
    found = {}
    for (query, excluded), own in zip(answers.items(), hits, strict=True):
        others = [texts[hit["corpus_id"]] for hit in own if texts[hit["corpus_id"]] not in excluded]
        found[query] = others[rules.range_min : rules.range_max]
    return [found[query] for query, _ in rows]

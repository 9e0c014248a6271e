"""Hard negatives: similar texts that are not answers, within the given ranks and scores."""

import pytest

import minilm_jax as mj
from minilm_jax.training import TrainingData, mine_hard_negatives

PAIRS = [
    ("What is the capital of France?", "Paris is the capital of France."),
    ("What is the capital of Spain?", "Madrid is the capital of Spain."),
    ("What do cats eat?", "Cats eat meat and fish."),
    ("What do cats eat?", "A cat's diet is mostly meat."),
]
MADRID, LYON = PAIRS[1][1], "Lyon is a large city in France."
CORPUS = [answer for _, answer in PAIRS] + [LYON, "Stocks fell on Monday."]


def negatives(encoder: mj.SentenceEncoder, **settings) -> dict[tuple[str, str], list[str]]:
    rows = mine_hard_negatives(PAIRS, encoder, **{"corpus": CORPUS, "num_negatives": 1, **settings})
    return {(row["query"], row["positive"]): row["negatives"] for row in rows}


def test_the_most_similar_other_texts_are_chosen(encoder: mj.SentenceEncoder) -> None:
    found = negatives(encoder)
    assert found[PAIRS[0]] == [LYON]
    assert found[PAIRS[1]] == [PAIRS[0][1]]
    assert not set(found[PAIRS[2]]) & {PAIRS[2][1], PAIRS[3][1]}


def test_ranks_scores_and_margins_exclude_candidates(encoder: mj.SentenceEncoder) -> None:
    assert negatives(encoder, range_min=1)[PAIRS[0]] == [MADRID]
    scores = encoder.similarity(encoder.encode([PAIRS[0][0]]), encoder.encode([PAIRS[0][1], LYON, MADRID]))
    own, lyon, madrid = [float(score) for score in scores[0]]
    between = (madrid + lyon) / 2
    assert negatives(encoder, max_score=between)[PAIRS[0]] == [MADRID]
    assert negatives(encoder, absolute_margin=own - between)[PAIRS[0]] == [MADRID]
    assert negatives(encoder, relative_margin=1 - between / own)[PAIRS[0]] == [MADRID]
    assert PAIRS[0] not in negatives(encoder, min_score=1.1)


def test_random_choice_depends_on_the_seed_only(encoder: mj.SentenceEncoder) -> None:
    found = [negatives(encoder, sampling_strategy="random", num_negatives=2, seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert any(other != found[0] for other in found[2:])


def test_rows_are_training_data(encoder: mj.SentenceEncoder) -> None:
    data = TrainingData.from_rows(mine_hard_negatives(PAIRS, encoder, corpus=CORPUS, num_negatives=2))
    assert [*data.columns] == ["query", "positive", "negatives_1", "negatives_2"]


@pytest.mark.parametrize(
    "settings", [{"range_min": 5, "range_max": 5}, {"num_negatives": 0}, {"sampling_strategy": "best"}]
)
def test_invalid_arguments_are_named(settings: dict, encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match=next(reversed(settings))):
        negatives(encoder, **settings)
    with pytest.raises(mj.InputError, match="no pairs"):
        mine_hard_negatives([], encoder)

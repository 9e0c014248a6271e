"""Details of single losses: duplicates, options, wrong data, and the table of losses."""

from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minilm_jax.config import LossName
from minilm_jax.errors import InputError
from minilm_jax.training import losses
from tests.helpers.loss_cases import logsumexp, unit
from tests.helpers.tolerances import FLOAT32_LOSSES

SCALE = 20.0


@pytest.fixture
def columns():
    """Queries, positives and negatives of four rows."""
    return [jnp.asarray(x) for x in np.random.default_rng(0).standard_normal((3, 4, 6)).astype(np.float32)]


def embedded(texts):
    """Return a vector for each text of each column, equal for equal texts."""
    rng = np.random.default_rng(0)
    table = {text: rng.standard_normal(6).astype(np.float32) for text in sorted({t for c in texts for t in c})}
    return [np.stack([table[text] for text in column]) for column in texts]


# Row 1 repeats the query of row 0, the query of row 2 is the positive of row 0, and row 3 repeats that positive.
QUERIES, POSITIVES, NEGATIVES = "aabc", "bdeb", "xyzb"
# Documents are numbered column by column. These match the query of each row, apart from its own positive.
MATCHES = [
    {1, 3, 7},  # d answers the same query; b is the own positive.
    {0, 3, 7},  # b answers the same query.
    {0, 3, 7},  # b is the query itself.
    {0, 7},  # b is the own positive; also as the own negative.
]


def test_ids_leave_out_exactly_the_documents_that_match_the_query():
    texts = [QUERIES, POSITIVES, NEGATIVES]
    vectors = embedded(texts)
    queries, documents = unit(vectors[0]), unit(np.concatenate(vectors[1:]))
    expected = []
    for row, matches in enumerate(MATCHES):
        kept = [n for n in range(8) if n not in matches]
        scores = SCALE * documents @ queries[row]
        expected.append(logsumexp(scores[kept]) - scores[row])
    found = losses.multiple_negatives_ranking(vectors, ids=losses.text_ids(texts))
    np.testing.assert_allclose(found, np.mean(expected), rtol=FLOAT32_LOSSES)
    assert abs(found - losses.multiple_negatives_ranking(vectors)) > 0.1


def test_ids_leave_out_queries_that_the_positive_answers():
    vectors = embedded([QUERIES, POSITIVES])
    queries, positives = unit(vectors[0]), unit(vectors[1])
    answered = [{1, 2, 3}, {0}, set(), {0, 1, 2}]  # For each row, the queries that its positive matches, in other rows.
    ids = losses.text_ids([QUERIES, POSITIVES])
    both = losses.LOSSES["multiple_negatives_symmetric_ranking"](vectors, ids=ids)
    back = 2 * both - losses.multiple_negatives_ranking(vectors, ids=ids)
    expected = []
    for row, matches in enumerate(answered):
        scores = SCALE * queries @ positives[row]
        expected.append(logsumexp(scores[[n for n in range(4) if n not in matches]]) - scores[row])
    np.testing.assert_allclose(back, np.mean(expected), rtol=FLOAT32_LOSSES)


def test_documents_that_are_left_out_get_no_gradient_from_the_row():
    texts = [QUERIES, POSITIVES, NEGATIVES]
    vectors = [jnp.asarray(v) for v in embedded(texts)]
    # Only row 0 counts in the loss, so document 7, which equals its positive, has no influence.
    valid = jnp.array([True, False, False, True])
    ids = jnp.asarray(losses.text_ids(texts))
    negatives = jax.grad(losses.multiple_negatives_ranking)(vectors, ids=ids, valid=valid)[2]
    assert (negatives[3] == 0).all()
    assert (negatives[0] != 0).any()


@pytest.mark.parametrize("directions", [("query_to_doc",), ("query_to_doc", "query_to_query", "doc_to_doc")])
def test_ids_of_different_texts_change_nothing(columns, directions):
    loss = partial(losses.multiple_negatives_ranking, columns, directions=directions)
    np.testing.assert_allclose(loss(ids=jnp.arange(12).reshape(4, 3)), loss(), rtol=FLOAT32_LOSSES)


def test_ids_are_equal_exactly_for_equal_texts():
    np.testing.assert_array_equal(losses.text_ids(["aab", "bca"]), [[0, 1], [0, 2], [1, 0]])


def test_one_row_without_negatives_gives_0(columns):
    assert losses.multiple_negatives_ranking([c[:1] for c in columns[:2]]) == 0


def test_cosent_of_equal_scores_is_0_without_gradient(columns):
    value, gradients = jax.value_and_grad(losses.cosent)(columns[:2], jnp.ones(4))
    assert value == 0
    assert all((gradient == 0).all() for gradient in gradients)


def test_loss_of_large_similarities_is_finite(columns):
    large = [1e3 * column for column in columns[:2]]
    for loss in (losses.cosent, losses.multiple_negatives_ranking):
        value, gradients = jax.value_and_grad(partial(loss, similarity="dot"))(large, jnp.arange(4.0))
        assert jnp.isfinite(value)
        assert all(jnp.isfinite(gradient).all() for gradient in gradients)


def test_angle_pads_vectors_of_odd_size(columns):
    odd = [column[:, :5] for column in columns[:2]]
    padded = [jnp.pad(column, ((0, 0), (0, 1))) for column in odd]
    assert losses.angle(odd, jnp.arange(4.0)) == losses.angle(padded, jnp.arange(4.0))


def test_margins_may_be_given_as_such(columns):
    scores = jnp.asarray(np.random.default_rng(2).standard_normal((4, 2)), jnp.float32)
    margins = scores[:, 0] - scores[:, 1]
    expected = losses.margin_mse(columns, scores)
    assert losses.margin_mse(columns, margins) == expected
    assert losses.margin_mse(columns, margins[:, None]) == expected


def test_labels_have_no_gradient_problems_as_booleans(columns):
    labels = jnp.array([True, False, True, False])
    assert losses.cosent(columns[:2], labels) == losses.cosent(columns[:2], labels.astype(jnp.float32))


WRONG = {
    "columns": (lambda c: losses.cosent(c, jnp.ones(4)), "takes 2 columns of vectors, not 3"),
    "one column": (lambda c: losses.multiple_negatives_ranking(c[:1]), "takes at least 2 columns of vectors, not 1"),
    "shapes": (lambda c: losses.triplet([c[0], c[1], c[2][:3]]), r"shapes \[\(3, 6\), \(4, 6\)\]"),
    "an array of rows": (lambda c: losses.flops(c[0]), r"shapes \[\(6,\)\]"),
    "no labels": (lambda c: losses.cosine_similarity(c[:2]), "the loss needs labels"),
    "number of labels": (lambda c: losses.cosent(c[:2], jnp.ones(3)), r"shape \(3,\); the loss needs \(4,\)"),
    "teacher": (lambda c: losses.distill_kl(c, jnp.ones((4, 3))), r"shape \(4, 3\); the loss needs \(4, 2\)"),
    "temperature": (lambda c: losses.distill_kl(c, jnp.ones((4, 2)), teacher_temperature=0.0), "a temperature is 0.0"),
    "angle": (lambda c: losses.angle(c[:2]), "angle needs a score per pair"),
    "one class": (lambda c: losses.cross_entropy([c[0][:, :1]], jnp.ones(4, int)), "use binary_cross_entropy"),
    "classes": (lambda c: losses.cross_entropy(c[:1], jnp.ones(4)), "pass integers from 0"),
    "similarity": (lambda c: losses.cosent(c[:2], jnp.ones(4), similarity="cos"), "similarity_fn_name is 'cos'"),
    "directions": (
        lambda c: losses.multiple_negatives_ranking(c, directions=("doc_to_query",)),
        "must contain 'query_to_doc'",
    ),
    "a direction": (
        lambda c: losses.multiple_negatives_ranking(c, directions=("query_to_doc", "doc_to_qery")),  # pyright: ignore[reportArgumentType]
        "no direction 'doc_to_qery'",
    ),
    "partition": (
        lambda c: losses.multiple_negatives_ranking(
            c, directions=("query_to_doc", "doc_to_doc"), partition_mode="per_direction"
        ),
        "'per_direction' cannot be used with doc_to_doc",
    ),
    "no sizes": (lambda c: losses.matryoshka(losses.cosent, []), "dims has 0 sizes"),
    "size": (lambda c: losses.matryoshka(losses.cosent, [0]), "a size in dims is 0"),
    "large size": (lambda c: losses.matryoshka(losses.cosent, [7])(c[:2], jnp.ones(4)), "dims contains 7"),
    "weights": (lambda c: losses.matryoshka(losses.cosent, [3], [1.0, 2.0]), "weights has 2"),
    "name": (lambda c: losses.as_loss("cosnet"), "no loss 'cosnet'.*Did you mean 'cosent'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_data_is_rejected(columns, name):
    call, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        call(columns)


def test_table_has_every_name():
    assert tuple(losses.LOSSES) == get_args(LossName)
    assert all(losses.as_loss(name) is entry for name, entry in losses.LOSSES.items())


@pytest.mark.parametrize(
    ("name", "columns", "has_labels", "problem"),
    [
        ("multiple_negatives_ranking", 5, False, None),
        ("multiple_negatives_ranking", 1, False, "1 columns of texts; the loss needs anchor, positive"),
        ("multiple_negatives_ranking", 2, True, "has labels, which the loss does not use"),
        ("cosent", 2, True, None),
        ("cosent", 2, False, "no labels; the loss needs scores"),
        ("cosent", 3, True, "3 columns of texts"),
        ("angle", 3, False, None),
        ("angle", 2, False, "no labels"),
    ],
)
def test_data_is_checked_against_the_table(name, columns, has_labels, problem):
    check = losses.as_loss(name).check
    if problem is None:
        check(columns, has_labels)
    else:
        with pytest.raises(InputError, match=problem):
            check(columns, has_labels)


def test_variants_of_a_loss_need_the_same_data():
    variant = losses.matryoshka(partial(losses.cosent, scale=3.0), [4])
    entry = losses.as_loss(variant)
    assert (entry.function, entry.labels, entry.keywords) == (variant, "scores", {"valid"})
    assert losses.as_loss(entry) is entry
    assert losses.as_loss(losses.multiple_negatives_ranking).keywords == {"valid", "ids"}


def test_own_function_gets_only_the_keywords_that_it_takes(columns):
    entry = losses.as_loss(lambda vectors, labels: vectors[0].sum() + labels.sum())
    entry.check(7, has_labels=True)
    assert entry(columns, jnp.ones(4), ids=jnp.zeros((4, 3), int)) == columns[0].sum() + 4
    with pytest.raises(InputError, match="no argument `valid`"):
        entry(columns, jnp.ones(4), valid=jnp.ones(4, bool))


def test_names_state_the_options() -> None:
    ranking = partial(losses.multiple_negatives_ranking, scale=10.0)
    assert losses.name_of("cosent") == losses.name_of(losses.cosent) == "cosent"
    assert losses.name_of(ranking) == "multiple_negatives_ranking(scale=10.0)"
    assert losses.name_of(losses.matryoshka(losses.cosent, [8, 4])) == "matryoshka(cosent, [8, 4], [1.0, 1.0])"
    assert losses.name_of(losses.splade(ranking, 0.1)) == f"splade({losses.name_of(ranking)}, 0.1, None)"
    assert losses.name_of(losses.LOSSES["triplet"]) == "triplet"

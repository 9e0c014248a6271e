"""scikit-learn: its estimator checks, and the transformer in pipelines."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import minilm_jax as mj
from minilm_jax.integrations.sklearn import MinilmJaxVectorizer
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import UNIT_VECTORS

SENTENCES = ["The striker scored.", "They won the cup.", "Rates were raised.", "Shares fell again."]
TOPICS = ["sport", "sport", "money", "money"]
# For estimators of strings, `check_estimator` only tests cloning. These are all checks that need no numeric input.
CHECKS = """
check_do_not_raise_errors_in_init_or_set_params check_dont_overwrite_parameters check_estimator_cloneable
check_estimator_repr check_estimator_tags_renamed check_estimators_fit_returns_self check_estimators_overwrite_params
check_fit_check_is_fitted check_get_params_invariance check_mixin_order check_n_features_in_after_fitting
check_no_attributes_set_in_init check_parameters_default_constructible check_positive_only_tag_during_fit
check_readonly_memmap_input check_set_params check_valid_tag_types
""".split()


@pytest.mark.parametrize("check", CHECKS)
def test_vectorizer_passes_the_checks_of_scikit_learn(check: str) -> None:
    getattr(estimator_checks, check)("MinilmJaxVectorizer", MinilmJaxVectorizer())


@pytest.mark.parametrize("column", [list, tuple, np.array, lambda x: np.array(x, object), pd.Series])
def test_vectorizer_accepts_lists_arrays_and_columns(
    column: Callable[[list[str]], Any], encoder: mj.SentenceEncoder
) -> None:
    vectors = MinilmJaxVectorizer().transform(column(TEXTS))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, encoder.encode(TEXTS), atol=UNIT_VECTORS)


def test_pipeline_with_a_classifier_predicts_topics() -> None:
    classifier = make_pipeline(MinilmJaxVectorizer(), LogisticRegression()).fit(SENTENCES, TOPICS)
    assert classifier.predict(["The goalkeeper was injured.", "Investors sold their bonds."]).tolist() == TOPICS[1:3]


def test_grid_search_covers_the_precision() -> None:
    pipeline = make_pipeline(MinilmJaxVectorizer(), LogisticRegression())
    search = GridSearchCV(pipeline, {"minilmjaxvectorizer__precision": ["float32", "int8"]}, cv=2, error_score="raise")
    assert set(search.fit(SENTENCES, TOPICS).cv_results_["param_minilmjaxvectorizer__precision"]) == {"float32", "int8"}


def test_column_transformer_names_the_vector_columns() -> None:
    frame = pd.DataFrame({"body": SENTENCES, "length": [len(text) for text in SENTENCES]})
    columns = ColumnTransformer([("text", MinilmJaxVectorizer(), "body")], remainder="passthrough")
    named = columns.set_output(transform="pandas").fit_transform(frame)
    assert list(named.columns[[0, -1]]) == ["text__minilmjaxvectorizer0", "remainder__length"]
    assert named.shape == (4, 385)


@pytest.mark.parametrize("texts", ["one string", [["nested"]], pd.DataFrame({"body": SENTENCES}), [None], [1.0]])
def test_vectorizer_rejects_input_other_than_one_column_of_texts(texts: Any) -> None:
    with pytest.raises(mj.InputError):
        MinilmJaxVectorizer().transform(texts)


def test_vectorizer_is_cloned_and_pickled_by_its_parameters() -> None:
    vectorizer = MinilmJaxVectorizer("a/folder", "int8")
    assert clone(vectorizer).get_params() == {"model": "a/folder", "precision": "int8"}
    assert pickle.loads(pickle.dumps(vectorizer)).get_params() == vectorizer.get_params()


def test_encode_works_in_a_pipeline(encoder: mj.SentenceEncoder) -> None:
    pipeline = make_pipeline(FunctionTransformer(encoder.encode), LogisticRegression())
    before = encoder.stats.compilations
    assert cross_val_score(pipeline, SENTENCES, TOPICS, cv=2, error_score="raise").shape == (2,)
    assert encoder.stats.compilations - before <= 2  # The copies share compiled programs.
    fitted = pickle.loads(pickle.dumps(pipeline.fit(SENTENCES, TOPICS)))
    assert fitted.predict(SENTENCES).tolist() == TOPICS


def test_encoder_is_copied_to_the_processes_of_joblib(encoder: mj.SentenceEncoder, tmp_path: Path) -> None:
    expected = encoder.encode(TEXTS)
    joblib.dump(encoder, tmp_path / "encoder")
    copies = [joblib.load(tmp_path / "encoder"), cloudpickle.loads(cloudpickle.dumps(encoder))]
    found = [copy.encode(TEXTS) for copy in copies] + joblib.Parallel(2)(
        joblib.delayed(encoder.encode)([t]) for t in TEXTS
    )
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected)
    np.testing.assert_allclose(np.concatenate(found[2:]), expected, atol=UNIT_VECTORS)


@pytest.mark.parametrize("table", [pd.DataFrame({"body": TEXTS}), pd.DataFrame({"body": TEXTS}).groupby("body")])
def test_tables_are_not_texts(table: Any, encoder: mj.SentenceEncoder) -> None:
    with pytest.raises(mj.InputError, match="pass a list of strings, or one column of a table"):
        encoder.encode(table)


@pytest.mark.parametrize("column", [pd.Series, pd.Index, lambda x: pd.Series(x, dtype="category")])
def test_columns_are_texts(column: Callable[[list[str]], Any], encoder: mj.SentenceEncoder) -> None:
    np.testing.assert_array_equal(encoder.encode(column(TEXTS)), encoder.encode(TEXTS))

"""DuckDB: the function in SQL queries."""

import duckdb
import numpy as np
import pytest

import minilm_jax as mj
from minilm_jax.integrations.duckdb import register
from tests.environments.integrations.texts import TEXTS
from tests.helpers.tolerances import MIN_INT8_COSINE, UNIT_VECTORS


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    register(connection)
    return connection


def test_query_finds_the_nearest_text(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE notes (body VARCHAR)")
    connection.executemany("INSERT INTO notes VALUES (?)", [[text] for text in TEXTS])
    nearest = "SELECT body FROM notes ORDER BY array_cosine_similarity(embed(body), embed(?)) DESC LIMIT 1"
    assert connection.execute(nearest, ["Someone makes music."]).fetchall() == [("A man is playing guitar.",)]


def test_vectors_equal_those_of_the_encoder(connection: duckdb.DuckDBPyConnection, encoder: mj.SentenceEncoder) -> None:
    rows = connection.execute(
        "SELECT embed(text), typeof(embed(text)) FROM (SELECT unnest(?) AS text)", [TEXTS]
    ).fetchall()
    np.testing.assert_allclose([vector for vector, _ in rows], encoder.encode(TEXTS), atol=UNIT_VECTORS)
    assert {kind for _, kind in rows} == {"FLOAT[384]"}


def test_null_is_embedded_as_null(connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute("SELECT embed(NULL) IS NULL, embed('') IS NULL").fetchall() == [(True, False)]


def test_second_function_has_another_precision(connection: duckdb.DuckDBPyConnection) -> None:
    register(connection, precision="int8", name="embed_fast")
    row = connection.execute("SELECT array_cosine_similarity(embed('A cat.'), embed_fast('A cat.'))").fetchone()
    assert row is not None
    assert MIN_INT8_COSINE < row[0] < 1 - UNIT_VECTORS


def test_more_rows_than_one_call_are_embedded(connection: duckdb.DuckDBPyConnection) -> None:
    texts = "SELECT (i % 3)::VARCHAR AS text FROM range(5000) t(i)"
    counts = connection.execute(f"SELECT text, count(DISTINCT embed(text)) FROM ({texts}) GROUP BY text").fetchall()
    assert {text for text, _ in counts} == {"0", "1", "2"}


def test_register_rejects_an_unknown_model() -> None:
    with pytest.raises(mj.ModelFileError):
        register(duckdb.connect(), "no-such-model")

"""Spark: `mapInArrow` in a session with two worker processes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import IntegerType, StringType, StructType

import minilm_jax as mj
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from minilm_jax.scale.spark import embed_frames, with_vectors
from tests.environments.engines.texts import TEXTS, assert_vectors, documented_example
from tests.helpers.numbered_corpus import save_number_model, write_table
from tests.helpers.tolerances import UNIT_VECTORS


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    options = {
        "spark.master": "local[2]",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
        "spark.sql.shuffle.partitions": "2",
        # The clock of this zone shows some times twice in autumn.
        "spark.sql.session.timeZone": "Europe/Berlin",
    }
    os.environ["PYSPARK_PYTHON"] = sys.executable
    with SparkSession.builder.config(map=options).getOrCreate() as session:
        yield session


def rows(spark: SparkSession, texts: list[str | None]) -> DataFrame:
    schema = StructType().add("id", IntegerType()).add("text", StringType())
    return spark.createDataFrame(list(enumerate(texts)), schema).repartition(2, "id")


def collected(frame: DataFrame) -> list[Row]:
    return sorted(frame.collect(), key=lambda row: row.id)


def test_map_in_arrow_gives_the_vectors_of_the_encoder(
    spark: SparkSession, expected: list[NDArray[np.float32] | None]
) -> None:
    frame = rows(spark, TEXTS)
    embedded = collected(frame.mapInArrow(embed_frames("text"), with_vectors(frame.schema)))
    assert [(row.id, row.text) for row in embedded] == list(enumerate(TEXTS))
    assert_vectors([row.embedding for row in embedded], expected)


def test_vectors_are_unchanged_after_writing_and_reading_parquet(
    spark: SparkSession, tmp_path: Path, expected: list[NDArray[np.float32] | None]
) -> None:
    frame = rows(spark, TEXTS)
    schema = with_vectors(frame.schema, "vector")
    frame.mapInArrow(embed_frames("text", vector_column="vector"), schema).write.parquet(f"{tmp_path}/out")
    back = spark.read.parquet(f"{tmp_path}/out")
    assert back.dtypes == [("id", "int"), ("text", "string"), ("vector", "array<float>")]
    assert_vectors([row.vector for row in collected(back)], expected)


def test_partitions_may_have_several_frames_or_none(spark: SparkSession, encoder: mj.SentenceEncoder) -> None:
    texts = [f"Number {i % 7}." for i in range(1_500)]
    frame = rows(spark, texts).repartition(1).union(rows(spark, []))
    embedded = collected(frame.mapInArrow(embed_frames("text"), with_vectors(frame.schema)))
    assert [row.text for row in embedded] == texts
    expected = encoder.encode(texts[:7])[np.arange(1_500) % 7]
    np.testing.assert_allclose([row.embedding for row in embedded], expected, rtol=0, atol=UNIT_VECTORS)


@pytest.mark.parametrize(("column", "type"), [("id", "int32"), ("words", "list<element: string>")])
def test_column_of_another_type_raises_input_error(spark: SparkSession, column: str, type: str) -> None:
    frame = rows(spark, ["A cat."]).selectExpr("*", "array(text) AS words")
    with pytest.raises(PythonException, match=f"InputError: column '{column}' holds {type}.*, not strings"):
        frame.mapInArrow(embed_frames(column), with_vectors(frame.schema)).collect()


def test_missing_column_and_map_in_pandas_raise_input_error(spark: SparkSession) -> None:
    frame = rows(spark, ["A cat."])
    with pytest.raises(PythonException, match=r"InputError: no column 'txt'.*Did you mean 'text'"):
        frame.mapInArrow(embed_frames("txt"), with_vectors(frame.schema)).collect()
    embed: Any = embed_frames("text")
    with pytest.raises(PythonException, match=r"InputError: .* mapInArrow, not to mapInPandas"):
        frame.mapInPandas(embed, with_vectors(frame.schema)).collect()


def test_values_of_other_columns_do_not_change(spark: SparkSession) -> None:
    frame = spark.sql(
        """SELECT 'A cat.' AS text, explode(array(
             timestamp'2024-10-27 00:30:00Z', timestamp'2024-10-27 01:30:00Z', timestamp'9999-12-31 00:00:00Z',
             timestamp'0001-01-03 00:00:00Z', NULL)) AS at,
           timestamp_ntz'2024-03-31 02:30:00' AS local, date'9999-12-31' AS day,
           double('NaN') AS nan, double(NULL) AS missing, -0.0D AS zero, 123456789012345678.125BD AS number,
           9007199254740993 AS whole, array(1, NULL) AS items, map('k', NULL) AS entries, named_struct('a', 1) AS pair,
           X'FF' AS bytes, interval 1 day AS span"""
    )
    embedded = frame.mapInArrow(embed_frames("text"), with_vectors(frame.schema)).drop("embedding")
    assert embedded.schema.simpleString() == frame.schema.simpleString()
    assert collected_as_text(embedded) == collected_as_text(frame)
    (row, *_) = embedded.select("nan", "missing").collect()
    assert (str(row.nan), row.missing) == ("nan", None)


def collected_as_text(frame: DataFrame) -> list[str]:
    # Python cannot represent all timestamps of Spark.
    return sorted(str(row) for row in frame.selectExpr(*(f"string({name})" for name in frame.columns)).collect())


def test_existing_column_name_is_rejected_for_vectors(spark: SparkSession) -> None:
    with pytest.raises(mj.InputError, match="already has a column 'text'"):
        with_vectors(rows(spark, []).schema, "text")


def test_documented_example_prints_its_output(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = documented_example("pyspark")
    exec(compile(code.replace('"vectors"', f'"{tmp_path}/vectors"'), "engines.md", "exec"), {})
    assert capsys.readouterr().out == output


def test_spark_reads_a_folder_of_shards(spark: SparkSession, tmp_path: Path) -> None:
    texts = [None if i % 100 == 99 else str(i) for i in range(1_000)]
    source = write_table(tmp_path / "in.parquet", pa.table({"id": range(1_000), "text": texts}))
    job = Job((str(source),), "text", str(tmp_path / "out"), model=str(save_number_model(tmp_path)), shard_rows=300)
    embed_corpus(job)
    read = spark.read.parquet(job.out)
    assert read.dtypes == [("id", "bigint"), ("text", "string"), ("embedding", "array<float>")]
    rows = collected(read)
    assert [row.text for row in rows] == texts
    vectors = mj.SentenceEncoder(job.model).encode([text for text in texts if text])
    assert [row.embedding is None for row in rows] == [text is None for text in texts]
    np.testing.assert_allclose([row.embedding for row in rows if row.text], vectors, rtol=0, atol=UNIT_VECTORS)

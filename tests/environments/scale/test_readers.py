"""DuckDB, Polars, pandas and LanceDB read a folder of shards, including null vectors and all storage types."""

import dataclasses
from pathlib import Path
from typing import Any

import duckdb
import lancedb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import minilm_jax as mj
from minilm_jax.config import VectorType
from minilm_jax.scale.job import Job
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import save_number_model, write_table
from tests.helpers.tolerances import UNIT_VECTORS

COUNT = 1_000
DTYPES: list[VectorType] = ["float32", "float16", "int8", "binary"]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job over a corpus in which every hundredth text is missing."""
    folder = tmp_path_factory.mktemp("numbers")
    texts = [None if i % 100 == 99 else str(i) for i in range(COUNT)]
    write_table(folder / "in.parquet", pa.table({"id": range(COUNT), "text": texts}))
    return Job((str(folder / "in.parquet"),), "text", "", model=str(save_number_model(folder)), shard_rows=300)


@pytest.fixture(scope="module", params=DTYPES)
def out(request: pytest.FixtureRequest, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    embed_corpus(dataclasses.replace(job, out=str(folder), dtype=request.param))
    return folder


def assert_readable(ids: list[int], vectors: list[Any], out: Path, job: Job) -> None:
    assert sorted(ids) == list(range(COUNT))
    assert sorted(i for i, vector in zip(ids, vectors, strict=True) if vector is None) == list(range(99, COUNT, 100))
    present = {i: vector for i, vector in zip(ids, vectors, strict=True) if vector is not None}
    assert {np.shape(vector) for vector in present.values()} == {(3,) if "binary" in out.name else (24,)}
    if "float32" in out.name:
        expected = mj.SentenceEncoder(job.model).encode([str(i) for i in present])
        np.testing.assert_allclose(np.array(list(present.values())), expected, atol=UNIT_VECTORS)


def test_duckdb_reads_the_shards(out: Path, job: Job) -> None:
    rows = duckdb.execute(f"SELECT id, embedding FROM '{out}/*.parquet'").fetchall()
    assert_readable([row[0] for row in rows], [row[1] for row in rows], out, job)


def test_duckdb_query_finds_the_nearest_vector(job: Job, tmp_path: Path) -> None:
    embed_corpus(dataclasses.replace(job, out=str(tmp_path / "out")))
    query = mj.SentenceEncoder(job.model).encode("123").tolist()
    best = duckdb.execute(
        f"SELECT id FROM '{tmp_path}/out/*.parquet'"
        " ORDER BY array_inner_product(embedding::FLOAT[24], ?::FLOAT[24]) DESC NULLS LAST",
        [query],
    ).fetchone()
    assert best == (123,)


def test_polars_reads_the_shards(out: Path, job: Job) -> None:
    frame = pl.read_parquet(f"{out}/*.parquet")
    assert isinstance(frame.schema["embedding"], pl.Array)
    assert_readable(frame["id"].to_list(), frame["embedding"].to_list(), out, job)


def test_pandas_reads_the_shards(out: Path, job: Job) -> None:
    frame = pd.read_parquet(out)
    assert_readable(frame["id"].tolist(), frame["embedding"].tolist(), out, job)


@pytest.mark.parametrize("source", ["polars.arrow", "pandas.parquet"])
def test_categorical_columns_are_readable_by_all(job: Job, tmp_path: Path, source: str) -> None:
    words = [f"{i:03}" for i in range(300)]
    path = tmp_path / source
    if source == "polars.arrow":
        frame = pl.DataFrame({"text": words}).with_columns(
            category=pl.col("text").cast(pl.Categorical), enum=pl.col("text").cast(pl.Enum(words))
        )
        frame.with_columns(many=pl.concat_list("category")).write_ipc(path)
    else:
        parts = [pd.DataFrame({"text": words[i : i + 100]}).astype({"text": "category"}) for i in (0, 100, 200)]
        tables = [pa.Table.from_pandas(part.assign(category=part["text"])) for part in parts]
        with pq.ParquetWriter(path, tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
    out = tmp_path / "out"
    embed_corpus(dataclasses.replace(job, inputs=(str(path),), out=str(out), shard_rows=1_000))
    (shard,) = out.glob("*.parquet")
    assert pq.read_table(shard)["category"].to_pylist() == words
    assert pl.read_parquet(shard)["category"].to_list() == words
    assert pd.read_parquet(shard)["category"].tolist() == words
    assert duckdb.execute(f"SELECT category FROM '{shard}'").fetchall() == [(word,) for word in words]
    assert not list((out / "_rejects").iterdir())


def test_lancedb_imports_the_shards(out: Path, job: Job, tmp_path: Path) -> None:
    data = ds.dataset(out)
    table = lancedb.connect(tmp_path).create_table("t", data.to_batches(), schema=data.schema, on_bad_vectors="null")
    rows = table.to_arrow()
    assert_readable(rows["id"].to_pylist(), rows["embedding"].to_pylist(), out, job)

"""Columns from the names of folders such as `year=2024`."""

import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from minilm_jax.scale.job import Job
from minilm_jax.scale.partitions import partition_fields, partition_values
from minilm_jax.scale.run import embed_corpus
from tests.helpers.numbered_corpus import number_table, read_rows, write_table


def test_partition_names_are_decoded() -> None:
    url = "s3://bucket/year=2024/month=01/a%20b=x%2Fy=z/none=__HIVE_DEFAULT_PARTITION__/=odd/plain/k=5.parquet"
    types = {"year": pa.int32(), "month": pa.int32(), "a b": pa.string(), "none": pa.null()}
    assert partition_fields(url) == [pa.field(*item) for item in types.items()]
    assert partition_values(url, pa.schema(types)) == {"year": "2024", "month": "1", "a b": "x/y=z", "none": None}
    assert partition_values(url, pa.schema({"month": pa.string()}))["month"] == "01"
    assert [field.type for field in partition_fields("/big=3000000000/x.csv")] == [pa.int64()]


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.jsonl", "x.csv"])
@pytest.mark.parametrize("keep", [None, ("lang", "year")])
def test_partitions_of_folders_are_columns(job: Job, name: str, keep: tuple[str, ...] | None) -> None:
    folders = ["year=2023/lang=de", "year=2024/lang=__HIVE_DEFAULT_PARTITION__", "year=2024/lang=en%20US"]
    for i, folder in enumerate(folders):
        path = Path(job.inputs[0], folder, name)
        path.parent.mkdir(parents=True)
        write_table(path, number_table([i]))
    embed_corpus(dataclasses.replace(job, keep=keep))
    rows = sorted(read_rows(Path(job.out)), key=lambda row: (row["year"], row["lang"] or ""))
    assert [(row["year"], row["lang"]) for row in rows] == [(2023, "de"), (2024, None), (2024, "en US")]
    assert all(row["embedding"] for row in rows)
    (columns,) = {tuple(row) for row in rows}
    assert columns == ((*keep, "embedding") if keep else ("id", "text", "year", "lang", "embedding"))


def test_column_of_a_file_takes_precedence_over_its_folder(job: Job) -> None:
    path = Path(job.inputs[0], "x=1", "in.parquet")
    path.parent.mkdir()
    write_table(path, pa.table({"text": ["1"], "x": ["own"]}))
    embed_corpus(job)
    assert [row["x"] for row in read_rows(Path(job.out))] == ["own"]

"""A tiny model of numbers, a corpus of them in every format, and what a folder of shards holds."""

import contextlib
import functools
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from pyarrow import csv, ipc

import minilm_jax as mj
from minilm_jax.scale.job import Job
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY, random_params

# Two processes, or two divisions into batches, may sum in another order.
TOLERANCE = 1e-6
_DIGITS = "0123456789"
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_DIGITS, *(f"##{digit}" for digit in _DIGITS)]


def number_model(folder: Path) -> Path:
    """Saves a model whose every number has a vector of its own, and returns its folder."""
    vocabulary = {word: i for i, word in enumerate(_VOCABULARY)}
    parts = TextTokenizer(write_tokenizer(folder, "model.vocab", vocabulary))
    mj.SentenceEncoder(random_params(TINY, seed=0), TINY, parts, 9).save_pretrained(folder / "model")
    return folder / "model"


_load_once = functools.cache(mj.SentenceEncoder.from_pretrained)


@contextlib.contextmanager
def loaded_once() -> Iterator[None]:
    """Lets all jobs of one model and precision share what they load and compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mj.SentenceEncoder, "from_pretrained", _load_once)
        yield


def fill(job: Job, name: str, table: pa.Table) -> Path:
    """Writes a file among the inputs of a job."""
    return write_rows(Path(job.inputs[0]) / name, table)


def numbers(ids: Iterable[int]) -> pa.Table:
    ids = list(ids)
    return pa.table({"id": pa.array(ids, pa.int32()), "text": pa.array(map(str, ids), pa.string())})


def write_rows(path: Path, table: pa.Table) -> Path:
    """Writes a file in the format and compression of its name; row groups and record batches have 100 rows."""
    name = path.name
    if name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=100)
        return path
    sink = pa.BufferOutputStream()
    if "json" in name:
        sink.write("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()).encode())
    elif ".csv" in name:
        csv.write_csv(table, sink)
    else:
        opened = ipc.new_stream if ".arrows" in name else ipc.new_file
        with opened(sink, table.schema) as writer:
            writer.write_table(table, 100)
    data = sink.getvalue().to_pybytes()
    if name.endswith(".zst"):
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def rows_of(out: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(out.glob("*.parquet")):
        yield from pq.read_table(path).to_pylist()


def vectors_of(out: Path) -> dict[int, Any]:
    """Returns the vectors of a folder by the ids of their rows, none of which is there twice."""
    rows = list(rows_of(out))
    found = {int(row["id"]): row["embedding"] for row in rows}
    assert len(found) == len(rows)
    return found


def check_complete(job: Job, count: int) -> None:
    """Asserts that every number below count has one row in a folder, with the vector that it has by itself."""
    found = vectors_of(Path(job.out))
    assert sorted(found) == list(range(count))
    encoder = mj.SentenceEncoder.from_pretrained(job.model)
    expected: NDArray[np.float32] = encoder.encode([str(i) for i in range(count)])
    np.testing.assert_allclose([found[i] for i in range(count)], expected, atol=TOLERANCE)
    assert not (Path(job.out) / "_minilm_jax_temporary").exists()

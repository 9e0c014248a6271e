"""A tiny model of numbers, corpora of numbers in every format, and readers of the shards."""

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
from minilm_jax.nn.params import abstract, flatten, unflatten
from minilm_jax.scale.job import Job
from minilm_jax.tokens.tokenizer import TextTokenizer
from tests.helpers.small_tokenizer import write_tokenizer
from tests.helpers.tiny_model import TINY
from tests.helpers.tolerances import UNIT_VECTORS

_DIGITS = "0123456789"
_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_DIGITS, *(f"##{digit}" for digit in _DIGITS)]
# Expected vectors are computed for a multiple of this many numbers, so that most tests share one computation.
_EXPECTED_BLOCK = 10_500


def save_number_model(folder: Path) -> Path:
    """Save a tiny model that maps every number to a different vector, and return its folder."""
    vocabulary = {word: i for i, word in enumerate(_VOCABULARY)}
    tokenizer = TextTokenizer(write_tokenizer(folder, "model.vocab", vocabulary))
    # numpy draws the parameters because jax would compile one program per shape.
    random = np.random.default_rng(0)
    shapes = {path: leaf.shape for path, leaf in flatten(abstract(TINY)).items()}
    params = unflatten({path: 0.5 * random.standard_normal(shape, np.float32) for path, shape in shapes.items()})
    mj.SentenceEncoder(params, TINY, tokenizer, 9).save_pretrained(folder / "model")
    return folder / "model"


_load_once = functools.cache(mj.SentenceEncoder.from_pretrained)


@contextlib.contextmanager
def load_models_once() -> Iterator[None]:
    """Load each combination of model and settings once, so that jobs share the compiled programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mj.SentenceEncoder, "from_pretrained", _load_once)
        yield


def number_table(ids: Iterable[int]) -> pa.Table:
    """Return a table of numbers as int32 in the column id, and as strings in the column text."""
    ids = list(ids)
    return pa.table({"id": pa.array(ids, pa.int32()), "text": pa.array(map(str, ids), pa.string())})


def add_input(job: Job, name: str, table: pa.Table) -> Path:
    """Write a table to a file in the input folder of a job."""
    return write_table(Path(job.inputs[0]) / name, table)


def write_table(path: Path, table: pa.Table) -> Path:
    """Write a table in the format and compression of the suffix, with 100 rows per row group or record batch."""
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
        open_writer = ipc.new_stream if ".arrows" in name else ipc.new_file
        with open_writer(sink, table.schema) as writer:
            writer.write_table(table, 100)
    data = sink.getvalue().to_pybytes()
    if name.endswith(".zst"):
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read_rows(out: Path) -> list[dict[str, Any]]:
    """Return all rows of the shards in a folder, sorted by the name of the shard."""
    return [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def read_vectors(out: Path) -> dict[int, Any]:
    """Return the vectors of the shards by the id of their rows, and assert that no id occurs twice."""
    rows = read_rows(out)
    vectors = {int(row["id"]): row["embedding"] for row in rows}
    assert len(vectors) == len(rows)
    return vectors


def assert_complete(job: Job, count: int) -> None:
    """Assert that each number below count has exactly one row in the output, with the encoder's vector."""
    vectors = read_vectors(Path(job.out))
    assert sorted(vectors) == list(range(count))
    expected = _expected_vectors(job.model, -(-count // _EXPECTED_BLOCK) * _EXPECTED_BLOCK)[:count]
    np.testing.assert_allclose([vectors[i] for i in range(count)], expected, atol=UNIT_VECTORS)
    assert not (Path(job.out) / "_minilm_jax_temporary").exists()


@functools.cache
def _expected_vectors(model: str, count: int) -> NDArray[np.float32]:
    return _load_once(model).encode([str(i) for i in range(count)], show_progress_bar=False)

"""`Job`: all that is decided before a corpus is embedded."""

import dataclasses
from typing import TYPE_CHECKING

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import CorpusFormat, VectorType

if TYPE_CHECKING:
    from minilm_jax.config import Precision


# A shard is what an interrupted run loses at most: two minutes of a CPU; and 200 MB of float32 vectors.
SHARD_ROWS = 131_072


@dataclasses.dataclass(frozen=True)
class Job:
    """What to embed, with what, and where to.

    Attributes:
        inputs: Files, folders, globs and fsspec URLs.
        text_column: The column that holds the texts.
        out: The folder for the shards, a path or an fsspec URL.
        keep: The input's columns that the shards keep, or None for all of them.
        vector_column: What the column of vectors is called.
        model: A model's name, or its folder.
        precision: What to compute in.
        dtype: What the vectors are stored as, see `minilm_jax.scale.vectors`.
        max_seq_length: Most tokens a text, or None for the model's own limit.
        shard_rows: Most rows a shard.
        input_format: Of all inputs, or None to tell it by their suffixes.
    """

    inputs: tuple[str, ...]
    text_column: str
    out: str
    keep: tuple[str, ...] | None = None
    vector_column: str = "embedding"
    model: str = DEFAULT_MODEL
    precision: "Precision" = "float32"
    dtype: VectorType = "float32"
    max_seq_length: int | None = None
    shard_rows: int = SHARD_ROWS
    input_format: CorpusFormat | None = None

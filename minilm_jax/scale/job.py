"""`Job`: the settings of a corpus embedding run."""

import dataclasses

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import CorpusFormat, Precision, VectorType

# An interrupted run loses at most one shard, about two minutes of work on a CPU. Its float32 vectors take 200 MB.
SHARD_ROWS = 131_072


@dataclasses.dataclass(frozen=True)
class Job:
    """Inputs, model and output of a run.

    Attributes:
        inputs: Files, folders, globs and fsspec URLs.
        text_column: Name of the column that holds the texts.
        out: Folder for the shards, a path or an fsspec URL.
        keep: Input columns that the shards keep, or None for all of them.
        vector_column: Name of the column of vectors.
        model: Name of a model, or its folder.
        precision: Compute precision.
        dtype: Storage type of the vectors, see `minilm_jax.scale.vectors`.
        max_seq_length: Maximum tokens per text, or None for the model's own limit.
        shard_rows: Maximum rows per shard.
        input_format: Format of all inputs, or None to choose it by their suffixes.
        revision: Branch, tag or commit of a model on the Hugging Face hub.
        delimiter: Character between the fields of CSV files, or None for "," and, in .tsv files, a tab.
    """

    inputs: tuple[str, ...]
    text_column: str
    out: str
    keep: tuple[str, ...] | None = None
    vector_column: str = "embedding"
    model: str = DEFAULT_MODEL
    precision: Precision = "float32"
    dtype: VectorType = "float32"
    max_seq_length: int | None = None
    shard_rows: int = SHARD_ROWS
    input_format: CorpusFormat | None = None
    revision: str | None = None
    delimiter: str | None = None

"""The files of a corpus: found by paths, folders, globs and URLs, and known by size and time of change."""

import dataclasses

from minilm_jax.scale.job import Format


@dataclasses.dataclass(frozen=True)
class InputFile:
    """One file of the corpus.

    Attributes:
        url: With its protocol, absolute.
        size: In bytes.
        version: The store's ETag or time of change, and of a Parquet file the sha256 of its footer.
        format: How its rows are written.
        compression: What it is compressed with as a whole, or None.
    """

    url: str
    size: int
    version: str
    format: Format
    compression: str | None

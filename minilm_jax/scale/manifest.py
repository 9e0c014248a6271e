"""The manifest: a corpus cut into parts, the same for the same files, each of which is embedded by itself."""

import dataclasses

import pyarrow as pa

from minilm_jax.scale.inputs import InputFile
from minilm_jax.scale.job import Job


@dataclasses.dataclass(frozen=True)
class Part:
    """A file, or some of its row groups.

    Attributes:
        file: Where the rows are.
        number: Which part of the file this is, from 0.
        groups: Its row groups or record batches, or None for the whole file.
        rows: How many rows it has, or None where only reading it would tell.
        columns: Names and types of the columns that are kept.
    """

    file: InputFile
    number: int
    groups: tuple[int, ...] | None
    rows: int | None
    columns: pa.Schema

    @property
    def name(self) -> str:
        """What the names of its shards begin with: the file's own, a hash of its URL, and the number."""
        raise NotImplementedError


def plan(job: Job) -> tuple[Part, ...]:
    """Finds the inputs and cuts them into parts, in the order of their URLs.

    Args:
        job: What is wanted.

    Returns:
        The parts. A file that cannot be read is one whole part, whose failure is reported when its turn comes.

    Raises:
        InputError: There is no such input or column, or two columns would have one name.
    """
    raise NotImplementedError

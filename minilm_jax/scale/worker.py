"""`ShardWorker`: reads, embeds and writes one part of a corpus after the other."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part

if TYPE_CHECKING:
    from minilm_jax.sentence_encoder import SentenceEncoder


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of the output.

    Attributes:
        name: Of the file.
        rows: How many it has.
        nulls: How many of them have no vector, because the text is blank or was rejected.
        rejected: How many values could not be taken; `_rejects` says which and why.
        truncated: How many texts were cut at max_seq_length.
    """

    name: str
    rows: int
    nulls: int
    rejected: int
    truncated: int


@dataclasses.dataclass(frozen=True)
class PartReport:
    """What came of one part.

    Attributes:
        part: Its name.
        url: Of its file.
        written: The shards that were made.
        skipped: The shards that were there already, and are intact.
        notes: What a user should know, such as why a shard was made anew.
        failure: Why the file could not be read to its end, or None.
    """

    part: str
    url: str
    written: tuple[Shard, ...]
    skipped: tuple[Shard, ...]
    notes: tuple[str, ...] = ()
    failure: str | None = None


class ShardWorker:
    """Makes the shards of parts; any number of workers may share a folder, and a part that comes again is skipped."""

    def __init__(
        self, job: Job, encoder: "SentenceEncoder | None" = None, progress: Callable[[int], object] | None = None
    ) -> None:
        """Loads the model.

        Args:
            job: What is wanted; `prepare_folder` has been called for it, once for all workers.
            encoder: The job's model where it is loaded already.
            progress: Called with the number of rows that were embedded since the last call.

        Raises:
            InputError: The folder's shards are from another model, or made otherwise.
            ModelFileError: The model cannot be loaded.
        """
        raise NotImplementedError

    def __call__(self, part: Part) -> PartReport:
        """Makes those shards of a part that are missing or damaged.

        Args:
            part: One of the manifest's.

        Returns:
            What was done; a file that cannot be read is a failure in it.

        Raises:
            OSError: A shard could not be written; nothing of it stays.
        """
        raise NotImplementedError

"""A whole run: the folder is prepared, an engine makes the shards, and what happened is said."""

from typing import Literal

from minilm_jax.scale.job import Job
from minilm_jax.scale.worker import PartReport

Engine = Literal["local", "ray"]


def embed_corpus(job: Job, *, engine: Engine = "local", workers: int = 1) -> list[PartReport]:
    """Embeds a corpus into a folder of Parquet shards, or goes on where an earlier run ended.

    Args:
        job: What is wanted.
        engine: "local" for this process, or "ray" for `minilm_jax.scale.ray.run(job, parts, workers)`, which yields a
            `PartReport` for each part as it is done. The folder is locked and prepared before, so that workers only
            need `ShardWorker(job)(part)`.
        workers: How many of them Ray starts.

    Returns:
        What came of every part.

    Raises:
        InputError: The job cannot be done as it is, or another run is at work in the folder.
        OSError: A shard could not be written; the same call goes on from there.
    """
    raise NotImplementedError

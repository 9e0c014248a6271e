"""The model of a job: texts of which some are missing to vectors, and how these are known from another model's."""

import warnings
from collections.abc import Sequence

import numpy as np

from minilm_jax.fingerprint import fingerprint
from minilm_jax.runtime.devices import ONE_DEVICE
from minilm_jax.scale.job import Job
from minilm_jax.scale.vectors import Vectors, vector_type
from minilm_jax.sentence_encoder import SentenceEncoder

# For each core some 25,000 tokens, seconds of work; for an accelerator some two million.
_CPU_TEXT_BYTES, _ACCELERATOR_TEXT_BYTES = 100_000, 8_000_000


class Model:
    """What a job embeds with.

    Attributes:
        settings: By what its vectors are known from another's.
        type: Of the column of vectors.
        text_bytes: How much text is worth a call, and shows progress often enough.
    """

    def __init__(self, job: Job) -> None:
        """Loads it."""
        self._encoder = SentenceEncoder.from_pretrained(
            job.model,
            precision=job.precision,
            max_seq_length=job.max_seq_length,
            # Several devices of a CPU are the same cores.
            devices=None if ONE_DEVICE.on_cpu else "all",
        )
        self.text_bytes = ONE_DEVICE.streams * _CPU_TEXT_BYTES if ONE_DEVICE.on_cpu else _ACCELERATOR_TEXT_BYTES
        self._unit = job.dtype == "int8"
        self.settings = {"model": fingerprint(self._encoder)}
        self.type = vector_type(job.dtype, self._encoder.get_embedding_dimension())

    @property
    def truncated(self) -> int:
        """How many texts were cut at max_seq_length so far."""
        return self._encoder.stats.truncated

    def embed(self, texts: Sequence[str | None]) -> Vectors:
        """Embeds texts, of which some may be missing."""
        with warnings.catch_warnings():
            # The shards count the texts that were cut.
            warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
            vectors = self._encoder.encode_document(
                [text for text in texts if text is not None],
                show_progress_bar=False,
                normalize_embeddings=self._unit,
            )
        return Vectors(vectors, np.array([text is not None for text in texts], bool))

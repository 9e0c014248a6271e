"""The model of a job: an encoder for texts of which some may be missing, with a fingerprint that identifies it."""

import warnings
from collections.abc import Sequence

import numpy as np

from minilm_jax.fingerprint import fingerprint
from minilm_jax.runtime.devices import describe_devices
from minilm_jax.scale.job import Job
from minilm_jax.scale.vectors import Vectors, vector_type
from minilm_jax.sentence_encoder import SentenceEncoder

# Texts are embedded in calls of this many bytes: about 25,000 tokens (a few seconds) per CPU core, or about two million
# tokens on an accelerator.
_CPU_TEXT_BYTES, _ACCELERATOR_TEXT_BYTES = 100_000, 8_000_000


class Model:
    """The encoder of a job.

    Attributes:
        settings: Settings that identify the model, for the sidecars of shards.
        type: Type of the column of vectors.
        text_bytes: Recommended bytes of text per `embed` call: enough for full batches, and frequent enough for a
            progress bar.
    """

    def __init__(self, job: Job) -> None:
        """Load the model.

        Args:
            job: Settings of the run.

        Raises:
            ModelFileError: The model cannot be loaded.
        """
        devices = describe_devices()
        self._encoder = SentenceEncoder.from_pretrained(
            job.model,
            revision=job.revision,
            precision=job.precision,
            max_seq_length=job.max_seq_length,
            # One CPU device is enough, because several would share the same cores.
            devices=None if devices.on_cpu else "all",
        )
        self.text_bytes = devices.workers * _CPU_TEXT_BYTES if devices.on_cpu else _ACCELERATOR_TEXT_BYTES
        self._unit_length = job.dtype == "int8"
        self.settings = {"model": fingerprint(self._encoder)}
        self.type = vector_type(job.dtype, self._encoder.get_embedding_dimension())

    @property
    def truncated(self) -> int:
        """Number of texts that were truncated to max_seq_length so far."""
        return self._encoder.stats.truncated

    def embed(self, texts: Sequence[str | None]) -> Vectors:
        """Embed texts, of which some may be None."""
        with warnings.catch_warnings():
            # The encoder's warning is hidden, because each shard records its number of truncated texts.
            warnings.filterwarnings("ignore", r"\d+ of \d+ texts are longer")
            vectors = self._encoder.encode_document(
                [text for text in texts if text is not None],
                show_progress_bar=False,
                normalize_embeddings=self._unit_length,
            )
        return Vectors(vectors, np.array([text is not None for text in texts], bool))

"""Apache Beam: a model handler for `RunInference`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.scale.nulls import embed_or_null
from minilm_jax.sentence_encoder import SentenceEncoder

with from_extra("beam"):
    from apache_beam.ml.inference.base import ModelHandler, PredictionResult


class MinilmJaxModelHandler(ModelHandler[str | None, PredictionResult, SentenceEncoder]):
    """Handler that turns texts into `PredictionResult` objects with the text and its vector, or None."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        precision: Precision = "float32",
        *,
        max_batch_size: int = 4_096,
        **options: Any,
    ) -> None:
        """Choose the encoder, which each process of a Beam worker loads once.

        Args:
            model: Name of a model, or a folder that all workers can read.
            precision: Compute precision, see `minilm_jax.cast`.
            max_batch_size: Maximum texts per call; the encoder splits them into its own batches.
            options: Keyword arguments of Beam's `ModelHandler`, such as min_batch_size, or large_model for one encoder
                per machine instead of one per process.
        """
        super().__init__(max_batch_size=max_batch_size, **options)
        self._model, self._precision = model, precision

    def load_model(self) -> SentenceEncoder:
        """Load the encoder."""
        return SentenceEncoder.from_pretrained(self._model, precision=self._precision)

    def run_inference(
        self, batch: Sequence[str | None], model: SentenceEncoder, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Embed texts.

        Args:
            batch: Texts; some may be None or blank.
            model: The encoder.
            inference_args: Keyword arguments of `SentenceEncoder.encode_document`.

        Returns:
            One result per text; its inference is float32[D], or None for a missing or blank text.

        Raises:
            InputError: A text is not a string or not valid Unicode.
        """
        vectors = embed_or_null(model, batch, **(inference_args or {}))
        return [PredictionResult(text, vector, self._model) for text, vector in zip(batch, vectors, strict=True)]

    def get_num_bytes(self, batch: Sequence[str | None]) -> int:
        """Return the size of texts in UTF-8."""
        return sum(len(text.encode()) for text in batch if text)

    def get_metrics_namespace(self) -> str:
        """Return the namespace of the counters of Beam's `RunInference`."""
        return "MinilmJax"

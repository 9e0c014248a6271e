"""Apache Beam: the encoder as a model of `RunInference`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.scale.nulls import embed_or_null
from minilm_jax.sentence_encoder import SentenceEncoder


class MinilmJaxModelHandler(ModelHandler[str | None, PredictionResult, SentenceEncoder]):
    """Turns a PCollection of texts into one of `PredictionResult`: the text, and its vector or None."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        precision: Precision = "float32",
        *,
        max_batch_size: int = 4_096,
        **options: Any,
    ) -> None:
        """Names the encoder, which each process of a worker loads once.

        Args:
            model: A model's name, or a folder that all workers see.
            precision: What to compute in, see `minilm_jax.cast`.
            max_batch_size: Most texts a call; the encoder sorts them into batches of its own.
            options: Keywords of Beam's `ModelHandler`, such as min_batch_size, or large_model for one encoder a
                machine in place of one a process.
        """
        super().__init__(max_batch_size=max_batch_size, **options)
        self._model, self._precision = model, precision

    def load_model(self) -> SentenceEncoder:
        """Loads the encoder."""
        return SentenceEncoder.from_pretrained(self._model, precision=self._precision)

    def run_inference(
        self, batch: Sequence[str | None], model: SentenceEncoder, inference_args: Mapping[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        """Embeds texts.

        Args:
            batch: Texts; some may be None or blank.
            model: The encoder.
            inference_args: Keywords of `SentenceEncoder.encode_document`.

        Returns:
            A result for each text; its inference is float32[D], or None where there is no text.

        Raises:
            InputError: A text is no string or no valid Unicode.
        """
        vectors = embed_or_null(model, batch, **(inference_args or {}))
        return [PredictionResult(text, vector, self._model) for text, vector in zip(batch, vectors, strict=True)]

    def get_num_bytes(self, batch: Sequence[str | None]) -> int:
        """Returns the size of texts in UTF-8."""
        return sum(len(text.encode()) for text in batch if text)

    def get_metrics_namespace(self) -> str:
        """Returns what the counters of Beam's `RunInference` are named under."""
        return "MinilmJax"

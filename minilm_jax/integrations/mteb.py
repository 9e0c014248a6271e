"""MTEB encoder, for `mteb.evaluate`."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.fingerprint import fingerprint
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_texts, shared_encoder

with from_extra("mteb"):
    from mteb.models import ModelMeta
    from mteb.models.abs_encoder import AbsEncoder
    from mteb.models.model_meta import ScoringFunction


class MinilmJaxEncoder(AbsEncoder):
    """Encoder that implements `EncoderProtocol` of MTEB.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Store the name of the encoder, which is loaded on first use."""
        self.model = model
        self.precision: Precision = precision

    def encode(self, inputs: Iterable[Mapping[str, Any]], **options: Any) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            inputs: Data loader of MTEB, which yields batches with `text`; the encoder forms its own batches from them.
            options: Keywords from MTEB, of which `prompt_type` is used, and from `encode_kwargs` of `mteb.evaluate`, of
                which `show_progress_bar` and `precision` are used. All others are ignored.

        Returns:
            float32[n, D].
        """
        texts = [text for batch in inputs for text in batch["text"]]
        role = None if options.get("prompt_type") is None else options["prompt_type"].value
        passed = {name: options[name] for name in ("show_progress_bar", "precision") if name in options}
        return embed_texts(texts, self.model, self.precision, role, **passed)

    @functools.cached_property
    def mteb_model_meta(self) -> ModelMeta:  # pyright: ignore[reportIncompatibleVariableOverride] set on first access
        """Metadata under which MTEB stores results: name, fingerprint and precision of the model."""
        encoder = shared_encoder(self.model, self.precision)
        return ModelMeta.create_empty(
            {
                "name": f"minilm-jax/{Path(self.model).name}",
                "revision": fingerprint(encoder)[:12],
                "experiment_kwargs": {"precision": self.precision},
                "framework": ["JAX"],
                "similarity_fn_name": ScoringFunction.COSINE,
                "embed_dim": encoder.config.embedding_size,
                "max_tokens": encoder.max_seq_length,
            }
        )

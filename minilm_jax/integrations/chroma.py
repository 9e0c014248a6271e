"""Chroma: the encoder as an `EmbeddingFunction`, registered when this module is imported."""

from typing import Any

from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
from chromadb.utils.embedding_functions import register_embedding_function

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.shared_encoders import embed_texts


@register_embedding_function
class MinilmJaxEmbeddingFunction(EmbeddingFunction[Documents]):
    """Embeds documents and queries for Chroma, to the vectors of Chroma's default embedder.

    Attributes:
        model: A model's name, or a folder.
        precision: What to compute in, see `minilm_jax.cast`.
    """

    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Names the encoder, which is loaded when first used."""
        self.model = model
        self.precision: Precision = precision

    def __call__(self, input: Documents) -> Embeddings:
        """Embeds texts, each as float32[D].

        Raises:
            InputError: There is no text, or an item that is no valid string.
        """
        if len(input) == 0:
            raise InputError("there is no text to embed; Chroma takes no empty list of embeddings.")
        return list(embed_texts(input, self.model, self.precision, "document"))

    def embed_query(self, input: Documents) -> Embeddings:
        """Embeds queries, each as float32[D]."""
        return list(embed_texts(input, self.model, self.precision, "query"))

    @staticmethod
    def name() -> str:
        """Returns the name that Chroma keeps with a collection."""
        return "minilm_jax"

    def default_space(self) -> Space:
        """Returns the distance of a new collection."""
        return "cosine"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "MinilmJaxEmbeddingFunction":
        """Makes the function that a collection was kept with."""
        return MinilmJaxEmbeddingFunction(**config)

    def get_config(self) -> dict[str, Any]:
        """Returns what Chroma keeps with a collection."""
        return {"model": self.model, "precision": self.precision}

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Raises InputError for another model, whose vectors would not fit those of the collection."""
        if old_config["model"] != new_config["model"]:
            raise InputError(
                f"the collection was embedded with {old_config['model']!r}, not {new_config['model']!r}; make a new"
                " collection, or where the same model has moved, pass this function to get_collection."
            )

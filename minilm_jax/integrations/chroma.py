"""Chroma `EmbeddingFunction`, which is registered when this module is imported."""

from typing import Any

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.errors import InputError
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_texts

with from_extra("chroma"):
    from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
    from chromadb.utils.embedding_functions import register_embedding_function


@register_embedding_function
class MinilmJaxEmbeddingFunction(EmbeddingFunction[Documents]):
    """Embedding function for Chroma, which gives the vectors of Chroma's default embedding function.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    def __init__(self, model: str = DEFAULT_MODEL, precision: Precision = "float32") -> None:
        """Store the name of the encoder, which is loaded on first use."""
        self.model = model
        self.precision: Precision = precision

    def __call__(self, input: Documents) -> Embeddings:
        """Embed documents, each as float32[D].

        Raises:
            InputError: The list is empty, or an item is not a valid string.
        """
        if len(input) == 0:
            raise InputError("the list of texts is empty; Chroma needs at least one embedding.")
        return list(embed_texts(input, self.model, self.precision, "document"))

    def embed_query(self, input: Documents) -> Embeddings:
        """Embed queries, each as float32[D]."""
        return list(embed_texts(input, self.model, self.precision, "query"))

    @staticmethod
    def name() -> str:
        """Return the name that Chroma stores with a collection."""
        return "minilm_jax"

    def default_space(self) -> Space:
        """Return the distance function of a new collection."""
        return "cosine"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "MinilmJaxEmbeddingFunction":
        """Create the function from the config stored with a collection."""
        return MinilmJaxEmbeddingFunction(**config)

    def get_config(self) -> dict[str, Any]:
        """Return the config that Chroma stores with a collection."""
        return {"model": self.model, "precision": self.precision}

    def validate_config_update(self, old_config: dict[str, Any], new_config: dict[str, Any]) -> None:
        """Raise InputError if the model changes, because its vectors would not match those in the collection."""
        if old_config["model"] != new_config["model"]:
            raise InputError(
                f"the collection was embedded with {old_config['model']!r}, not {new_config['model']!r}; create a new"
                " collection. If the same model was moved, pass this function to get_collection."
            )

"""LangChain `Embeddings`."""

import dataclasses

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision
from minilm_jax.imports import from_extra
from minilm_jax.shared_encoders import embed_query, embed_texts

with from_extra("langchain"):
    from langchain_core.embeddings import Embeddings


@dataclasses.dataclass(frozen=True)
class MinilmJaxEmbeddings(Embeddings):
    """Embeddings for LangChain; the asynchronous methods run on LangChain's threads.

    Attributes:
        model: Name or folder of a model.
        precision: Precision of the computation, see `minilm_jax.cast`.
    """

    model: str = DEFAULT_MODEL
    precision: Precision = "float32"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents, each as D floats; an empty list gives an empty list.

        Raises:
            InputError: `texts` is one string, or an item is not a valid string.
        """
        return embed_texts(texts, self.model, self.precision, "document").tolist()

    def embed_query(self, text: str) -> list[float]:
        """Embed one query as D floats.

        Raises:
            InputError: `text` is not a valid string.
        """
        return embed_query(text, self.model, self.precision)

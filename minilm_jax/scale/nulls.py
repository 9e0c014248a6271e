"""Embedding of columns in which some texts are missing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minilm_jax.sentence_encoder import SentenceEncoder


def embed_or_null(
    encoder: "SentenceEncoder", texts: Sequence[str | None], **options: Any
) -> list[NDArray[np.float32] | None]:
    """Embed the texts that are not missing or blank.

    Args:
        encoder: Encoder to use.
        texts: Texts; some may be None or blank.
        options: Keyword arguments of `SentenceEncoder.encode_document`.

    Returns:
        One entry per text: float32[D], or None for a missing or blank text.

    Raises:
        InputError: A text is not a string or not valid Unicode.
    """
    texts = list(map(none_if_blank, texts))
    present = [text for text in texts if text is not None]
    vectors = iter(encoder.encode_document(present, show_progress_bar=False, **options))
    return [None if text is None else next(vectors) for text in texts]


def none_if_blank(text: str | None) -> str | None:
    """Return a text, or None if it is missing, empty or white space."""
    return text if text is not None and str(text).strip() else None

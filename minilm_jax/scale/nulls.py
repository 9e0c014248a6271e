"""Texts of which some are missing, as a column of a corpus has them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minilm_jax.sentence_encoder import SentenceEncoder


def embed_or_null(
    encoder: "SentenceEncoder", texts: Sequence[str | None], **options: Any
) -> list[NDArray[np.float32] | None]:
    """Embeds those texts that say something.

    Args:
        encoder: What to embed with.
        texts: Texts; some may be None or blank.
        options: Keywords of `SentenceEncoder.encode_document`.

    Returns:
        float32[D] for a text, and None where there is none.

    Raises:
        InputError: A text is no string or no valid Unicode.
    """
    texts = list(map(said, texts))
    there = [text for text in texts if text is not None]
    vectors = iter(encoder.encode_document(there, show_progress_bar=False, **options))
    return [None if text is None else next(vectors) for text in texts]


def said(text: str | None) -> str | None:
    """Returns a text, or None where it is blank."""
    return text if text is not None and str(text).strip() else None

"""Texts of which some are missing, as a column of a corpus has them."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from minilm_jax.sentence_encoder import SentenceEncoder


def embed_or_null(
    encoder: SentenceEncoder, texts: Sequence[str | None], **options: Any
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
    vectors = iter(encoder.encode_document(list(filter(_is_said, texts)), show_progress_bar=False, **options))
    return [next(vectors) if _is_said(text) else None for text in texts]


def _is_said(text: str | None) -> TypeGuard[str]:
    return text is not None and bool(str(text).strip())

"""An encoder for tests of the commands, which needs no model."""

import types
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STUB_WIDTH = 5
_MAX_LENGTH = 4


class StubEncoder:
    """Encoder whose vectors hold the length and the first four characters of a text, padded with spaces.

    Texts of more than four characters count as truncated, and every call warns, as the real encoder does.
    """

    max_seq_length = _MAX_LENGTH

    def __init__(self) -> None:
        self.stats = types.SimpleNamespace(texts=0, truncated=0)
        self.calls: list[tuple[int, int | None]] = []

    def encode(
        self, texts: Sequence[str], *, batch_size: int | None = None, show_progress_bar: bool | None = None
    ) -> NDArray[np.float32]:
        self.calls.append((len(texts), batch_size))
        self.stats.texts += len(texts)
        self.stats.truncated += sum(len(text) > _MAX_LENGTH for text in texts)
        warnings.warn("1 of 2 texts are longer than 4 tokens", stacklevel=2)
        rows = [[len(text), *(text.encode()[:_MAX_LENGTH].ljust(_MAX_LENGTH))] for text in texts]
        return np.array(rows, np.float32).reshape(-1, STUB_WIDTH)

"""Distinct token ids for texts of given lengths."""

import numpy as np

from minilm_jax.tokens.batching import RaggedIds


def ragged(lengths: list[int]) -> RaggedIds:
    """Return ids that encode their row and position: row 2 starts 201, 202, …"""
    ids = [100 * row + place + 1 for row, length in enumerate(lengths) for place in range(length)]
    return RaggedIds(np.array(ids, np.int32), np.array(lengths, np.int32))

"""Select the positions of the hidden values in the golden files, pseudo-randomly and independently of numpy."""

from __future__ import annotations

import numpy as np

SEED = 20_240_229
SAMPLES = 20


def splitmix64(counter: np.ndarray) -> np.ndarray:
    """Scramble counters into 64-bit pseudo-random numbers (Steele, Lea and Flood's SplitMix64).

    Args:
        counter: uint64 array.

    Returns:
        uint64 array of the same shape.
    """
    # The generators of numpy may change between releases; this arithmetic does not.
    z = counter * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sample_positions(lengths: np.ndarray, hidden_size: int) -> np.ndarray:
    """Return the positions whose values are stored for each text.

    Args:
        lengths: Integer [n], number of tokens of each text.
        hidden_size: Number of dimensions, D.

    Returns:
        int16 [n, SAMPLES, 2]: token index below the text's length, and dimension below D.
    """
    counter = np.arange(lengths.size * SAMPLES, dtype=np.uint64).reshape(-1, SAMPLES) + np.uint64(SEED)
    mixed = splitmix64(counter)
    token = (mixed >> np.uint64(32)) % lengths.astype(np.uint64)[:, None]
    dimension = (mixed & np.uint64(0xFFFFFFFF)) % np.uint64(hidden_size)
    return np.stack([token, dimension], axis=-1).astype(np.int16)

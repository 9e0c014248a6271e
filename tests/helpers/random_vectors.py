"""Random vectors with 16 dimensions, and their cosines."""

import numpy as np

D = 16


def vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, D), np.float32)


def clustered(count, seed=0):
    """Return vectors around five centers, so that many pairs are near each other."""
    centers = vectors(5, seed)[np.random.default_rng(seed).integers(5, size=count)]
    return (centers + 0.4 * vectors(count, seed + 1)).astype(np.float32)


def cosines(a, b):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a.astype(np.float64), b.astype(np.float64)))
    return a @ b.T

"""`community_detection` compared with brute force in NumPy."""

import numpy as np
import pytest

from minilm_jax import search
from minilm_jax.errors import InputError
from tests.helpers.random_vectors import D, clustered, cosines, vectors


def brute_force_communities(embeddings, threshold, smallest):
    scores = cosines(embeddings, embeddings)
    near = [[j for j in np.argsort(-row).tolist() if row[j] >= threshold] for row in scores]
    taken, groups = set(), []
    for center in sorted(range(len(near)), key=lambda i: -len(near[i])):
        members = [j for j in near[center] if j not in taken]
        if center not in taken and len(near[center]) >= smallest and len(members) >= smallest:
            groups.append(members)
            taken.update(members)
    return sorted(groups, key=len, reverse=True)


@pytest.mark.parametrize(("threshold", "smallest", "size"), [(0.75, 3, 1024), (0.85, 2, 16), (0.6, 10, 7)])
@pytest.mark.parametrize("max_cosines", [2**24, 150])
def test_community_detection_finds_the_groups_of_a_brute_force_search(
    threshold, smallest, size, max_cosines, monkeypatch
):
    monkeypatch.setattr("minilm_jax.search.communities._MAX_COSINES", max_cosines)
    embeddings = clustered(60)
    found = search.community_detection(embeddings, threshold, smallest, size)
    assert found == brute_force_communities(embeddings, threshold, smallest)
    assert len(found) > 1


def test_community_detection_of_few_vectors_computes_small_tiles(monkeypatch):
    shapes = []

    def cosines_of(a, b):
        shapes.append((a.shape, b.shape))
        return search.cos_sim(a, b)

    monkeypatch.setattr("minilm_jax.search.communities._cosines", cosines_of)
    search.community_detection(vectors(5), 0.0, 1)
    assert set(shapes) == {((8, D), (8, D))}


def test_community_detection_groups_duplicates_and_drops_isolated_vectors():
    embeddings = np.concatenate([np.tile(vectors(1), (5, 1)), vectors(3, seed=9), np.zeros((3, D), np.float32)])
    assert list(map(sorted, search.community_detection(embeddings, 0.99, 3))) == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("count", [0, 3])
def test_community_detection_of_too_few_vectors_is_empty(count):
    assert search.community_detection(vectors(count), 0, min_community_size=4) == []


def test_community_detection_rejects_vectors_that_are_not_finite_and_sizes_below_1():
    embeddings = vectors(9)
    embeddings[7, 0] = np.nan
    with pytest.raises(InputError, match="embedding 7 has NaN or infinity"):
        search.community_detection(embeddings, batch_size=4)
    with pytest.raises(InputError, match="must be at least 1"):
        search.community_detection(vectors(9), min_community_size=0)


@pytest.mark.parametrize("threshold", [80, -1.5, np.nan, None, "0.8"])
def test_community_detection_rejects_thresholds_that_are_not_cosines(threshold):
    with pytest.raises(InputError, match="it must be a cosine, from -1 to 1"):
        search.community_detection(vectors(9), threshold)


@pytest.mark.parametrize("size", [3, 384, 1024])
def test_community_detection_finds_all_equal_vectors_at_threshold_1(size):
    rows = np.repeat(np.random.default_rng(size).standard_normal((20, size), np.float32), 12, axis=0)
    assert sorted(map(len, search.community_detection(rows, threshold=1.0))) == [12] * 20

"""Every loss with a batch that fits it, and its value by a plain formula in NumPy."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minilm_jax.training import losses

ROWS, WIDTH, CLASSES = 8, 10, 3


class Case(NamedTuple):
    """A loss, the number of columns, their width, the shape of its labels, and its value in NumPy."""

    loss: Callable[..., Any]
    columns: int
    labels: tuple[int, ...] | None
    formula: Callable[..., Any]
    width: int = WIDTH

    def batch(self, rows: int = ROWS, seed: int = 0) -> tuple[list[Any], Any]:
        """Return columns of vectors and labels in float64."""
        rng = np.random.default_rng(seed)
        vectors = [*rng.standard_normal((self.columns, rows, self.width))]
        if self.labels is None:
            return vectors, None
        classes = rng.integers(0, CLASSES, (rows, *self.labels))
        return vectors, classes if self.loss is losses.cross_entropy else classes / (CLASSES - 1)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def logsumexp(x):
    return np.log(np.exp(x).sum(axis=-1))


def softmax(x):
    return np.exp(x - logsumexp(x)[..., None])


def ranking(vectors, labels, scale=20.0, similarity="cosine"):
    q, *d = [unit(v) for v in vectors] if similarity == "cosine" else vectors
    scores = scale * q @ np.concatenate(d).T
    return (logsumexp(scores) - np.diagonal(scores)).mean()


def symmetric(vectors, labels):
    q, p, *_ = map(unit, vectors)
    back = 20.0 * p @ q.T
    return (ranking(vectors, None) + (logsumexp(back) - np.diagonal(back)).mean()) / 2


def all_directions(vectors, labels):
    q, *d = map(unit, vectors)
    total = 0.0
    for i in range(len(q)):
        others = [j for j in range(len(q)) if j != i]
        candidates = [q[i] @ x[j] for x in d for j in range(len(q))] + [d[0][i] @ x for x in q]
        candidates += [q[i] @ q[j] for j in others] + [d[0][i] @ x[j] for x in d for j in others]
        total += logsumexp(20.0 * np.array(candidates)) - 20.0 * q[i] @ d[0][i]
    return total / len(q)


def ordered(similarities, scores):
    pairs = [(i, j) for i in range(len(scores)) for j in range(len(scores)) if scores[i] < scores[j]]
    return np.log(1 + sum(np.exp(20.0 * (similarities[i] - similarities[j])) for i, j in pairs))


def cosent(vectors, labels):
    a, b = map(unit, vectors)
    return ordered((a * b).sum(-1), labels)


def angle_similarity(a, b):
    x, y = ((v[:, : WIDTH // 2] + 1j * v[:, WIDTH // 2 :]) for v in (unit(a), unit(b)))
    product = (x * y.conj()).sum(-1)
    return abs(product.real + product.imag)


def angle_triplets(vectors, labels):
    similarities = np.concatenate([angle_similarity(vectors[0], other) for other in vectors[1:]])
    return ordered(similarities, np.repeat([1, 0], len(vectors[0])))


def triplet(vectors, labels, distance="euclidean", margin=5.0):
    norms = {
        "euclidean": lambda a, b: np.linalg.norm(a - b, axis=-1),
        "manhattan": lambda a, b: abs(a - b).sum(-1),
        "cosine": lambda a, b: 1 - (unit(a) * unit(b)).sum(-1),
    }
    a, p, n = vectors
    return np.maximum(0, norms[distance](a, p) - norms[distance](a, n) + margin).mean()


def dots(vectors):
    return np.stack([(vectors[0] * other).sum(-1) for other in vectors[1:]], axis=1)


def margin_mse(vectors, labels):
    student = dots(vectors)
    teacher = labels[:, :1] - labels[:, 1:]
    return ((student[:, :1] - student[:, 1:] - teacher) ** 2).mean()


def distill_kl(vectors, labels):
    wanted, found = softmax(labels / 3.0), softmax(dots(vectors) / 2.0)
    return 4.0 * (wanted * np.log(wanted / found)).sum(-1).mean()


def binary_cross_entropy(vectors, labels, pos_weight=1.0):
    yes = 1 / (1 + np.exp(-vectors[0]))
    return -(pos_weight * labels * np.log(yes) + (1 - labels) * np.log(1 - yes)).mean()


def flops(vectors, labels=None):
    return (np.concatenate(vectors).mean(axis=0) ** 2).sum()


CASES = {
    "ranking": Case(losses.multiple_negatives_ranking, 2, None, ranking),
    "ranking with negatives": Case(losses.multiple_negatives_ranking, 4, None, ranking),
    "symmetric ranking": Case(losses.LOSSES["multiple_negatives_symmetric_ranking"].function, 2, None, symmetric),
    "ranking in all directions": Case(
        partial(
            losses.multiple_negatives_ranking,
            directions=("query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"),
        ),
        3,
        None,
        all_directions,
    ),
    "cosent": Case(losses.cosent, 2, (), cosent),
    "angle": Case(losses.angle, 2, (), lambda v, labels: ordered(angle_similarity(*v), labels)),
    "angle of triplets": Case(losses.angle, 3, None, angle_triplets),
    "cosine similarity": Case(
        losses.cosine_similarity, 2, (), lambda v, y: (((unit(v[0]) * unit(v[1])).sum(-1) - y) ** 2).mean()
    ),
    "triplet": Case(losses.triplet, 3, None, triplet),
    "triplet by Manhattan distance": Case(
        partial(losses.triplet, distance="manhattan", margin=1.0),
        3,
        None,
        partial(triplet, distance="manhattan", margin=1.0),
    ),
    "triplet by cosine": Case(
        partial(losses.triplet, distance="cosine", margin=0.3), 3, None, partial(triplet, distance="cosine", margin=0.3)
    ),
    "margins": Case(losses.margin_mse, 4, (3,), margin_mse),
    "distillation": Case(
        partial(losses.distill_kl, student_temperature=2.0, teacher_temperature=3.0), 4, (3,), distill_kl
    ),
    "classes": Case(
        losses.cross_entropy, 1, (), lambda v, y: -np.log(softmax(v[0])[np.arange(len(y)), y]).mean(), width=CLASSES
    ),
    "yes or no": Case(losses.binary_cross_entropy, 1, (CLASSES,), binary_cross_entropy, width=CLASSES),
    "yes or no, weighted": Case(
        partial(losses.binary_cross_entropy, pos_weight=3.0),
        1,
        (CLASSES,),
        partial(binary_cross_entropy, pos_weight=3.0),
        width=CLASSES,
    ),
    "flops": Case(losses.flops, 2, None, flops),
    "splade": Case(
        losses.splade(partial(losses.multiple_negatives_ranking, similarity="dot", scale=1.0), 0.3, 0.2),
        3,
        None,
        lambda v, y: ranking(v, y, scale=1.0, similarity="dot") + 0.3 * flops(v[1:]) + 0.2 * flops(v[:1]),
    ),
    "matryoshka": Case(
        losses.matryoshka(losses.cosent, [WIDTH, 4], [1.0, 0.5]),
        2,
        (),
        lambda v, y: cosent(v, y) + 0.5 * cosent([x[:, :4] for x in v], y),
    ),
}

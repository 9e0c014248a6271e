"""The losses by name, and the data that each one needs."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from jax import Array
from jax.typing import ArrayLike

from minilm_jax.errors import InputError, did_you_mean
from minilm_jax.training.losses.distillation import distill_kl, margin_mse
from minilm_jax.training.losses.logits import binary_cross_entropy, cross_entropy
from minilm_jax.training.losses.ranking import multiple_negatives_ranking
from minilm_jax.training.losses.scored_pairs import angle, cosent, cosine_similarity
from minilm_jax.training.losses.triplets import triplet

LossFunction: TypeAlias = Callable[..., Array]
# "scores": float[B]. "classes": int[B]. "teacher_scores": float[B, N]. "any": whatever the function takes.
Labels: TypeAlias = Literal["none", "scores", "classes", "teacher_scores", "any"]
# What a model computes for one text or pair.
Outputs: TypeAlias = Literal["vectors", "logits"]


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss function and the data that it needs.

    Attributes:
        function: The function, see the package's docstring.
        columns: Names of the columns of texts, in order.
        minimum_columns: Minimum number of columns.
        maximum_columns: Maximum number of columns, or None.
        labels: The kind of labels.
        labels_required: Whether data with more than the minimum of columns must have labels.
        outputs: What the columns hold: vectors of texts, or logits of pairs.
        scale_invariant: Whether the lengths of the vectors have no influence, with the default options.
        label_range: Lowest and highest valid label, or None.
    """

    function: LossFunction
    columns: str
    minimum_columns: int
    maximum_columns: int | None
    labels: Labels = "none"
    labels_required: bool = True
    outputs: Outputs = "vectors"
    scale_invariant: bool = True
    label_range: tuple[float, float] | None = None

    @functools.cached_property
    def keywords(self) -> frozenset[str]:
        """Those of `valid` and `ids` that the function takes."""
        parameters = inspect.signature(self.function).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        return frozenset(name for name in ("valid", "ids") if takes_all or name in parameters)

    def __call__(
        self,
        vectors: Sequence[ArrayLike],
        labels: Any = None,
        *,
        valid: ArrayLike | None = None,
        ids: ArrayLike | None = None,
    ) -> Array:
        """Compute the loss; `ids` is left out if the function does not take it.

        Raises:
            InputError: `valid` is given, and the function does not take it.
        """
        if valid is not None and "valid" not in self.keywords:
            raise InputError("the loss function has no argument `valid`, so the batch cannot have padding rows.")
        given = {"valid": valid, "ids": ids}
        return self.function(vectors, labels, **{name: given[name] for name in self.keywords})

    def check(self, columns: int, has_labels: bool) -> None:
        """Raise InputError unless data with a number of columns of texts, and with or without labels, fits the loss."""
        fits = self.minimum_columns <= columns and (self.maximum_columns is None or columns <= self.maximum_columns)
        if not fits:
            raise InputError(f"the data has {columns} columns of texts; the loss needs {self.columns}.")
        if self.labels == "none" and has_labels:
            raise InputError("the data has labels, which the loss does not use; remove them, or choose another loss.")
        is_free = not self.labels_required and columns > self.minimum_columns
        if self.labels not in ("none", "any") and not is_free and not has_labels:
            raise InputError(f"the data has no labels; the loss needs {self.labels} in a column label or score.")


LOSSES: Mapping[str, Loss] = {
    "multiple_negatives_ranking": Loss(multiple_negatives_ranking, "anchor, positive[, negative …]", 2, None),
    "multiple_negatives_symmetric_ranking": Loss(
        functools.partial(
            multiple_negatives_ranking, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ),
        "anchor, positive[, negative …]",
        2,
        None,
    ),
    "cosent": Loss(cosent, "text 1, text 2", 2, 2, "scores"),
    "angle": Loss(angle, "text 1, text 2, or anchor, positive, negative …", 2, None, "scores", labels_required=False),
    "cosine_similarity": Loss(cosine_similarity, "text 1, text 2", 2, 2, "scores", label_range=(-1, 1)),
    "triplet": Loss(triplet, "anchor, positive, negative", 3, 3, scale_invariant=False),
    "margin_mse": Loss(
        margin_mse, "query, positive, negative[, negative …]", 3, None, "teacher_scores", scale_invariant=False
    ),
    "distill_kl": Loss(
        distill_kl, "query, document, document[, document …]", 3, None, "teacher_scores", scale_invariant=False
    ),
    "cross_entropy": Loss(cross_entropy, "text 1, text 2", 2, 2, "classes", outputs="logits", scale_invariant=False),
    "binary_cross_entropy": Loss(
        binary_cross_entropy,
        "text 1, text 2",
        2,
        2,
        "scores",
        outputs="logits",
        scale_invariant=False,
        label_range=(0, 1),
    ),
}


def as_loss(loss: str | LossFunction | Loss) -> Loss:
    """Return a loss with the data that it needs.

    Args:
        loss: A name in LOSSES; a function of this package, also in `functools.partial` or `matryoshka`; or any function
            of `(vectors, labels)`, with any number of columns and any labels.

    Raises:
        InputError: The name is unknown.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise InputError(f"no loss {loss!r}; it must be one of {', '.join(LOSSES)}.{did_you_mean(loss, LOSSES)}")
        return LOSSES[loss]
    known = next((entry for entry in LOSSES.values() if entry.function is _innermost(loss)), None)
    own = Loss(loss, "any columns", 1, None, "any", scale_invariant=False)
    return dataclasses.replace(known, function=loss) if known else own


def name_of(loss: str | LossFunction | Loss) -> str:
    """Return a name of a loss with its options, as far as they are known, such as "cosent(scale=10.0)"."""
    if isinstance(loss, str):
        return loss
    if isinstance(loss, Loss):
        return name_of(loss.function)
    if isinstance(loss, functools.partial):
        options = [repr(value) for value in loss.args] + [f"{name}={value!r}" for name, value in loss.keywords.items()]
        return f"{name_of(loss.func)}({', '.join(options)})"
    return getattr(loss, "__name__", type(loss).__name__)


def _innermost(function: Any) -> Any:
    while inner := getattr(function, "func", None) or getattr(function, "__wrapped__", None):
        function = inner
    return function

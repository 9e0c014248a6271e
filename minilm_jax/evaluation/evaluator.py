"""`Evaluator`: the common part of all evaluators."""

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from minilm_jax.errors import InputError
from minilm_jax.vectors.similarity import similarity_functions


class Evaluator(abc.ABC):
    """A function of a model that returns scores by name.

    Attributes:
        name: Put before the name of each metric, with "_"; or "".
        primary_metric: Name of the metric that decides between models; higher is better.
    """

    def __init__(self, name: str) -> None:
        """Remember the name."""
        self.name = name
        self.primary_metric = ""

    def __call__(self, model: Any) -> dict[str, float]:
        """Evaluate a model.

        Args:
            model: A model with the methods of `SentenceEncoder` or `CrossEncoder`; those of sentence-transformers have
                them, too.

        Returns:
            The metrics.
        """
        prefix = f"{self.name}_" if self.name else ""
        scores, primary = self._evaluate(model)
        self.primary_metric = prefix + primary
        return {prefix + metric: float(score) for metric, score in scores.items()}

    @abc.abstractmethod
    def _evaluate(self, model: Any) -> tuple[Mapping[str, float], str]:
        """Return the metrics, and the name of the primary one."""


class VectorEvaluator(Evaluator):
    """Evaluator of an encoder by similarity functions of its vectors."""

    def __init__(
        self,
        name: str,
        batch_size: int | None,
        truncate_dim: int | None = None,
        similarity_fn_names: Sequence[str] | None = None,
    ) -> None:
        """Remember the options, which the subclasses describe."""
        super().__init__(name)
        self._options = given(batch_size=batch_size, truncate_dim=truncate_dim)
        self._names = similarity_fn_names

    def _functions(self, model: Any) -> list[str]:
        """Return the names of the similarity functions: the given ones, or that of the model."""
        chosen = [*(self._names or [model.similarity_fn_name])]
        for name in chosen:
            similarity_functions(name)  # Raises InputError for an unknown one.
        return chosen


def check_lengths(**columns: Collection[Any]) -> None:
    """Raise InputError unless columns have the same length, which is not 0."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError("the lengths differ: " + ", ".join(f"{count} {name}" for name, count in lengths.items()) + ".")
    if 0 in lengths.values():
        raise InputError(f"{', '.join(lengths)} are empty; there must be at least one row.")


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}

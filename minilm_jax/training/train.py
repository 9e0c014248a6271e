"""`train`: fine-tune a model on rows of texts."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from minilm_jax.errors import InputError
from minilm_jax.nn.encoder_params import EncoderParams
from minilm_jax.nn.params import flatten
from minilm_jax.nn.settings import device_use, enable_jit
from minilm_jax.text_model import TextModel
from minilm_jax.training.data import TrainingData, as_data
from minilm_jax.training.inputs import tokenized
from minilm_jax.training.losses import LOSSES, Loss, LossFunction, as_loss, name_of
from minilm_jax.training.model_card import RunDescription, model_card
from minilm_jax.training.options import TrainingOptions
from minilm_jax.training.run import Evaluate, Run, Scores

Model = TypeVar("Model", bound=TextModel)
Evaluator = Callable[[Any], Mapping[str, float] | float]

_CARD = "README.md"


@dataclasses.dataclass(frozen=True)
class TrainingResult(Generic[Model]):
    """A trained model and how it was trained.

    Attributes:
        model: The trained model: the best one by the evaluator, or the last one without an evaluator.
        steps: Number of batches.
        before: Scores of the evaluator before training, or None.
        after: Scores of `model`, or None.
        log: The entries of the log.
    """

    model: Model
    steps: int
    before: Scores | None
    after: Scores | None
    log: list[dict[str, Any]]


@device_use()
@enable_jit
def train(
    model: Model,
    data: Any,
    loss: str | LossFunction | Loss | None = None,
    *,
    options: TrainingOptions | None = None,
    evaluator: Evaluator | None = None,
    output_dir: str | Path | None = None,
    show_progress_bar: bool | None = None,
) -> TrainingResult[Model]:
    """Fine-tune a model; `model` itself is not changed.

    The texts of a batch share packed rows, so that almost no padding is computed, and batches have few shapes. With
    `output_dir`, a run that was stopped continues at its last checkpoint, with bit-identical results.

    Args:
        model: A SentenceEncoder, CrossEncoder or SparseEncoder in float32; its devices compute.
        data: The path of a .jsonl, .csv, .tsv or .parquet file, rows, or `TrainingData`, see there.
        loss: A name in `losses.LOSSES`, or a function of `(vectors, labels)`, see `minilm_jax.training.losses`. By
            default: for encoders, "cosent" with labels and "multiple_negatives_ranking" without; for cross-encoders,
            "binary_cross_entropy" with one label per pair and "cross_entropy" with several.
        options: The settings; by default those of `TrainingOptions()`.
        evaluator: A function of a model that returns scores, such as those of `minilm_jax.evaluation`: a number, or
            named ones, of which `evaluator.primary_metric` or the first one decides which model is best.
        output_dir: The folder for the trained model, its card, the log and the checkpoints; or None.
        show_progress_bar: Whether to show a bar; None shows it on a terminal only.

    Returns:
        The trained model.

    Raises:
        InputError: The data does not fit the loss or the model, the loss becomes NaN, or a file cannot be written.
    """
    rows, options = as_data(data), options or TrainingOptions()
    loss = _default_loss(model, rows) if loss is None else loss
    chosen, name = as_loss(loss), name_of(loss)
    _check(model, rows, chosen, options)
    tokens, ids = tokenized(model, rows)
    folder = None if output_dir is None else Path(output_dir)
    run = Run(model.params, tokens, ids, rows.labels, chosen, options, loss_name=name, mesh=model.mesh, folder=folder)
    run.train(_evaluate(model, evaluator) if evaluator else None, show_progress_bar)
    trained = model.with_params(jax.tree.map(jnp.asarray, run.params))
    result = TrainingResult(trained, run.steps, run.log.scores(0), run.best_scores, run.log.entries)
    if folder is not None:
        trained.save_pretrained(folder)
        card = _card(model, rows, name, result, options)
        (folder / _CARD).write_text(card, "utf-8")
    return result


def _default_loss(model: TextModel, data: TrainingData) -> str:
    if model.config.classifier is not None:
        return "binary_cross_entropy" if len(model.config.classifier.labels) == 1 else "cross_entropy"
    return "multiple_negatives_ranking" if data.labels is None else "cosent"


def _check(model: TextModel, data: TrainingData, loss: Loss, options: TrainingOptions) -> None:
    """Raise InputError if the model, the data, the loss and the settings do not fit each other."""
    if wrong := next((path for path, leaf in flatten(model.params).items() if leaf.dtype != jnp.float32), None):
        raise InputError(f"{wrong} is not float32; load the model with precision='float32' for training.")
    is_cross_encoder = model.config.classifier is not None
    if loss.labels != "any" and is_cross_encoder != (loss.outputs == "logits"):
        fitting = [name for name, known in LOSSES.items() if (known.outputs == "logits") == is_cross_encoder]
        raise InputError(f"the loss is not for a {type(model).__name__}; use one of {', '.join(fitting)}.")
    loss.check(len(data.columns), data.labels is not None)
    limits = (0, model.config.output_size - 1) if loss.labels == "classes" else loss.label_range
    if limits and data.labels is not None:
        _check_labels(data.labels, *limits)
    if options.batch_size == 1 and loss.labels == "none" and len(data.columns) == 2:
        raise InputError("a batch of one row has no negatives; raise batch_size to 32 or more.")


def _check_labels(labels: NDArray[Any], lowest: float, highest: float) -> None:
    outside = np.argwhere((labels < lowest) | (labels > highest))
    if len(outside):
        row = int(outside[0, 0])
        raise InputError(
            f"the label of row {row + 1} is {labels[row]}, but this loss needs labels from {lowest:g} to {highest:g};"
            " rescale them, for example scores from 0 to 5 by 5."
        )


def _evaluate(model: TextModel, evaluator: Evaluator) -> Evaluate:
    def evaluate(params: EncoderParams) -> tuple[Scores, float]:
        found = evaluator(model.with_params(jax.tree.map(jnp.asarray, params)))
        scores = found if isinstance(found, Mapping) else {"score": float(found)}
        primary = getattr(evaluator, "primary_metric", None) or next(iter(scores))
        return {name: float(score) for name, score in scores.items()}, float(scores[primary])

    return evaluate


def _card(
    model: TextModel, data: TrainingData, loss: str, result: TrainingResult[Any], options: TrainingOptions
) -> str:
    is_cross_encoder = model.config.classifier is not None
    return model_card(
        RunDescription(
            name=model.name,
            kind=type(model).__name__,
            task="text-ranking" if is_cross_encoder else "sentence-similarity",
            data=f"{data.source} ({', '.join(data.columns)})",
            rows=len(data),
            loss=loss,
            steps=result.steps,
            options=options,
            before=result.before,
            after=result.after,
        )
    )

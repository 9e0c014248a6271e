"""The same training by minilm-jax and by sentence-transformers."""
# pyright: reportMissingImports=false

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.training.tasks import Task

# The first steps include compilation.
_WARM_UP_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model and its times.

    Attributes:
        model: The model, with the methods of sentence-transformers.
        steps: Number of batches.
        first_step: Seconds from the call of the trainer to the end of the first step.
        steps_per_second: Median rate of the later steps.
    """

    model: Any
    steps: int
    first_step: float
    steps_per_second: float


def ours(task: Task, data: Path, folder: Path, seed: int) -> tuple[Any, Callable[[], Trained]]:
    """Return the model before training, and the function that trains it."""
    from minilm_jax import SentenceEncoder
    from minilm_jax.training import TrainingOptions, new_cross_encoder, train

    encoder = SentenceEncoder(folder, max_seq_length=task.max_seq_length)
    model = encoder if task.kind == "encoder" else new_cross_encoder(encoder, seed=seed)
    options = TrainingOptions(
        epochs=task.epochs, batch_size=task.batch_size, learning_rate=task.learning_rate, seed=seed, log_steps=1
    )

    def run() -> Trained:
        result = train(model, task.rows(data), task.loss, options=options)
        rates = [entry["steps_per_second"] for entry in result.log]
        return Trained(result.model, result.steps, 1 / rates[0], statistics.median(rates[_WARM_UP_STEPS:]))

    return model, run


def sentence_transformers(task: Task, data: Path, folder: Path, seed: int) -> tuple[Any, Callable[[], Trained]]:
    """Return the model before training, and the function that trains it."""
    import torch
    from datasets import Dataset
    from sentence_transformers import CrossEncoder, SentenceTransformer
    from transformers import TrainerCallback, set_seed

    set_seed(seed)
    torch.set_num_threads(torch.get_num_threads())
    is_encoder = task.kind == "encoder"
    model: Any = (
        SentenceTransformer(str(folder), device="cpu")
        if is_encoder
        else CrossEncoder(str(folder), num_labels=1, device="cpu", max_length=task.max_seq_length)
    )
    if is_encoder:
        model.max_seq_length = task.max_seq_length

    class Clock(TrainerCallback):
        """Records the time at the end of every step."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter())

    def run() -> Trained:
        trainer, arguments, loss = _parts(task, model)
        options = {
            "num_train_epochs": task.epochs,
            "per_device_train_batch_size": task.batch_size,
            "learning_rate": task.learning_rate,
            "warmup_steps": 0.1,
            "seed": seed,
            "save_strategy": "no",
            "report_to": "none",
            "logging_steps": 1_000_000,
            "disable_tqdm": True,
            "use_cpu": True,
        }
        clock, start = Clock(), time.perf_counter()
        with tempfile.TemporaryDirectory() as output:
            trainer(
                model=model,
                args=arguments(output_dir=output, **options),
                train_dataset=Dataset.from_list([dict(row) for row in task.rows(data)]),
                loss=loss,
                callbacks=[clock],
            ).train()
        steps = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
        rate = 1 / statistics.median(steps[_WARM_UP_STEPS - 1 :])
        return Trained(model, len(clock.times), clock.times[0] - start, rate)

    return model, run


def _parts(task: Task, model: Any) -> tuple[Any, Any, Any]:
    from sentence_transformers import (
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
        losses,
    )
    from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

    if task.kind == "cross-encoder":
        return CrossEncoderTrainer, CrossEncoderTrainingArguments, BinaryCrossEntropyLoss(model)
    known: Mapping[str, Any] = {
        "cosine_similarity": losses.CosineSimilarityLoss,
        "cosent": losses.CoSENTLoss,
        "multiple_negatives_ranking": losses.MultipleNegativesRankingLoss,
    }
    return SentenceTransformerTrainer, SentenceTransformerTrainingArguments, known[task.loss](model)


LIBRARIES = {"minilm-jax": ours, "sentence-transformers": sentence_transformers}

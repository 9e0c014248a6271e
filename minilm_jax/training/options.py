"""`TrainingOptions`: the settings of a run."""

import dataclasses
from typing import Literal, TypeAlias, get_args

from minilm_jax.arguments import integer
from minilm_jax.errors import InputError

Schedule: TypeAlias = Literal["linear", "cosine", "constant"]
ComputePrecision: TypeAlias = Literal["float32", "bfloat16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Settings of a run.

    Attributes:
        epochs: How often every row is used.
        max_steps: Number of batches, instead of epochs.
        batch_size: Rows per batch. In-batch negatives are the other rows, so contrastive losses need 64 or more.
        learning_rate: Highest learning rate.
        warmup: Part of the run, if below 1, or number of updates, in which the rate rises from 0.
        schedule: How the rate falls after that: "linear" or "cosine" to 0, or "constant".
        weight_decay: Weight decay of AdamW; never of biases and LayerNorm.
        max_grad_norm: Gradients are scaled down to this global norm.
        layer_decay: Factor of the learning rate per layer below the last one, up to 1.
        freeze: Patterns of params that are not trained, such as "embeddings.*".
        lora_rank: Rank of trained updates of the dense kernels (Hu et al., 2021), or 0 to train all params.
        lora_alpha: The updates are multiplied by lora_alpha / lora_rank.
        dropout: Whether to train with the dropout probabilities of the config.
        precision: "float32", or "bfloat16" to multiply in 16 bits; the trained weights stay float32.
        accumulation: Batches whose gradients are averaged for one update. It adds no in-batch negatives: for those,
            raise batch_size and set chunk_tokens.
        chunk_tokens: Compute at most this many tokens at a time, twice (GradCache, Gao et al., 2021): the memory no
            longer depends on batch_size, and the results are equal. None computes the whole batch at once.
        seed: Number that determines the order of the rows and the dropout.
        log_steps: Steps per line of the log.
        evaluations: Number of evaluations during the run, besides those before and after it.
        checkpoints: Number of checkpoints during the run.
    """

    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 32
    learning_rate: float = 2e-5
    warmup: float = 0.1
    schedule: Schedule = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    layer_decay: float = 1.0
    freeze: tuple[str, ...] = ()
    lora_rank: int = 0
    lora_alpha: float = 16.0
    dropout: bool = True
    precision: ComputePrecision = "float32"
    accumulation: int = 1
    chunk_tokens: int | None = None
    seed: int = 0
    log_steps: int = 10
    evaluations: int = 4
    checkpoints: int = 10

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulation", "log_steps"):
            integer(name, getattr(self, name))
        for name in ("max_steps", "chunk_tokens"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name))
        for name in ("lora_rank", "seed", "evaluations", "checkpoints"):
            integer(name, getattr(self, name), 0)
        for name in ("epochs", "learning_rate", "max_grad_norm", "lora_alpha"):
            self._check(name, getattr(self, name) > 0, "it must be positive")
        for name in ("warmup", "weight_decay"):
            self._check(name, getattr(self, name) >= 0, "it must not be negative")
        self._check("layer_decay", 0 < self.layer_decay <= 1, "it must be above 0 and at most 1")
        self._check("freeze", not isinstance(self.freeze, str), "it must be a tuple of patterns")
        self._check("schedule", self.schedule in get_args(Schedule), f"it must be one of {get_args(Schedule)}")
        choices = get_args(ComputePrecision)
        self._check("precision", self.precision in choices, f"it must be one of {choices}")

    def _check(self, name: str, is_valid: bool, rule: str) -> None:
        if not is_valid:
            raise InputError(f"{name} is {getattr(self, name)!r}; {rule}.")

    def steps(self, rows: int) -> int:
        """Return the number of batches for data of this many rows."""
        return self.max_steps or max(1, int(self.epochs * rows // self.batch_size))

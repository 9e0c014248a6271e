"""The model card of a trained model: README.md with the data, the loss, the settings and the scores."""

import dataclasses
import json
from collections.abc import Mapping

from minilm_jax import __version__
from minilm_jax.training.options import TrainingOptions


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunDescription:
    """What a model card states.

    Attributes:
        name: The model that was trained.
        kind: The class that loads the result.
        task: The task of models of this kind on the hub.
        data: Where the rows come from, and their columns.
        rows: Number of rows.
        loss: Name of the loss.
        steps: Number of batches.
        options: The settings.
        before: Scores of the model before training, or None.
        after: Scores of the trained model, or None.
    """

    name: str
    kind: str
    task: str
    data: str
    rows: int
    loss: str
    steps: int
    options: TrainingOptions
    before: Mapping[str, float] | None
    after: Mapping[str, float] | None


def model_card(run: RunDescription) -> str:
    """Return the text of README.md."""
    changed = {
        field.name: getattr(run.options, field.name)
        for field in dataclasses.fields(run.options)
        if getattr(run.options, field.name) != field.default
    }
    return f"""---
library_name: minilm-jax
pipeline_tag: {run.task}
---

# {run.name}, fine-tuned

`{run.kind}` model: `{run.name}`, trained with minilm-jax {__version__}. It also loads in sentence-transformers.

| | |
|---|---|
| data | {run.data}, {run.rows:,} rows |
| loss | {run.loss} |
| steps | {run.steps:,} batches of {run.options.batch_size} |
| options that differ from the defaults | `{json.dumps(changed)}` |

{_scores(run.before, run.after)}"""


def _scores(before: Mapping[str, float] | None, after: Mapping[str, float] | None) -> str:
    if after is None:
        return "The model was not evaluated.\n"
    lines = [
        f"| {name} | {(before or {}).get(name, float('nan')):.4f} | {score:.4f} |" for name, score in after.items()
    ]
    return "\n".join(["## Evaluation", "", "| metric | before | after |", "|---|---|---|", *lines, ""])

"""The text and the tables of `docs/training.md`."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness.report import facts, table
from benchmarks.harness.results import OURS
from benchmarks.training.tasks import TASKS, Task

_PAGE = """\
# Results of fine-tuning

Written by `python -m benchmarks.training DATA`; do not edit. all-MiniLM-L6-v2 is trained by minilm-jax and by the
trainer of sentence-transformers with the same data, loss, batch size, learning rate, number of epochs and cores. The
two take turns, each training in its own process. Scores are on development sets that the training does not see,
times 100: the mean of the seeds, and in brackets the range.

## Quality

{quality}

## Speed

Rates are medians over the steps of a run; the first step includes tokenization and compilation. Values are medians of
the seeds. minilm-jax packs the texts of a batch into rows, almost without padding; sentence-transformers pads each
column of a batch to its longest text.

{speed}

## Settings

{settings}

- The learning rate rises in the first tenth of the steps and then falls linearly to zero; AdamW without weight decay;
  gradients are clipped at norm 1; dropout 0.1.
- No run chooses among checkpoints: the scores are those of the last step.

{machine}
"""

_Runs = Mapping[str, Mapping[str, Mapping[str, Any]]]


def render(report: Mapping[str, Any]) -> str:
    """Return the page as Markdown.

    Args:
        report: The machine, and the result of each run by task, library and seed.
    """
    runs: _Runs = report["runs"]
    return _PAGE.format(
        quality=table(_quality(runs)),
        speed=table(_speed(runs)),
        settings=table(_settings(runs)),
        machine=facts({**report["machine"], **report["conditions"]}),
    )


def _quality(runs: _Runs) -> Iterator[Sequence[str]]:
    yield "task", "metric", "library", "seeds", "before", "after"
    for name, libraries in runs.items():
        for metric in TASKS[name].metrics:
            for library, seeds in libraries.items():
                before, after = ([run[when][metric] for run in seeds.values()] for when in ("before", "after"))
                title = TASKS[name].title.partition(":")[0]
                yield title, metric, library, f"{len(seeds)}", f"{statistics.mean(before):.2f}", _spread(after)


def _speed(runs: _Runs) -> Iterator[Sequence[str]]:
    yield "task", "library", "steps per second", "ratio", "first step, s"
    for name, libraries in runs.items():
        ours = _median(libraries.get(OURS, {}), "steps_per_second")
        for library, seeds in libraries.items():
            rate = _median(seeds, "steps_per_second")
            ratio = f"{ours / rate:.2f}" if library != OURS and ours else ""
            title = TASKS[name].title.partition(":")[0]
            yield title, library, f"{rate:.2f}", ratio, f"{_median(seeds, 'first_step'):.1f}"


def _settings(runs: _Runs) -> Iterator[Sequence[str]]:
    yield "task", "loss", "epochs", "batch", "learning rate", "tokens"
    for task in (TASKS[name] for name in runs):
        yield _row(task)


def _row(task: Task) -> Sequence[str]:
    return (
        task.title,
        task.loss,
        f"{task.epochs}",
        f"{task.batch_size}",
        f"{task.learning_rate:g}",
        f"{task.max_seq_length}",
    )


def _median(seeds: Mapping[str, Any], name: str) -> float:
    return statistics.median([run[name] for run in seeds.values()]) if seeds else 0.0


def _spread(values: Sequence[float]) -> str:
    return f"**{statistics.mean(values):.2f}** [{min(values):.2f} – {max(values):.2f}]"

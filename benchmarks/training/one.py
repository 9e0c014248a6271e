"""`python -m benchmarks.training.one`: one training in its own process; prints the result as JSON."""

import argparse
import json
from pathlib import Path

from benchmarks.training.libraries import LIBRARIES
from benchmarks.training.tasks import TASKS


def main() -> None:
    """Train and evaluate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.one", description=__doc__)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("seed", type=int)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    arguments = parser.parse_args()
    task = TASKS[arguments.task]
    evaluator = task.evaluator(arguments.data)
    model, train = LIBRARIES[arguments.library](task, arguments.data, arguments.model, arguments.seed)
    before = evaluator(model)
    trained = train()
    after = evaluator(trained.model)
    print(
        json.dumps(
            {
                "before": {name: 100 * before[name] for name in task.metrics},
                "after": {name: 100 * after[name] for name in task.metrics},
                "steps": trained.steps,
                "first_step": trained.first_step,
                "steps_per_second": trained.steps_per_second,
            }
        )
    )


if __name__ == "__main__":
    main()

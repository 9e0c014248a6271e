"""The log of a run: one JSON object per line, for people, plots and resumed runs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from minilm_jax.errors import InputError

LOG_FILE = "training.jsonl"


class TrainingLog:
    """Entries with the step that they belong to, in memory and, with a folder, on disk."""

    def __init__(self, folder: Path | None, last_step: int = -1) -> None:
        """Continue the log of a folder.

        Args:
            folder: The folder of the run, or None.
            last_step: Later entries are removed: a resumed run writes them again.
        """
        self._path = None if folder is None else folder / LOG_FILE
        self.entries: list[dict[str, Any]] = []
        if self._path is not None:
            earlier = read_log(self._path) if self._path.exists() else ()
            self.entries += [entry for entry in earlier if entry["step"] <= last_step]
            self._path.write_text("".join(map(_line, self.entries)), "utf-8")

    def add(self, step: int, **values: Any) -> None:
        """Append an entry."""
        self.entries.append({"step": step, **values})
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(self.entries[-1]))

    def scores(self, step: int) -> Mapping[str, float] | None:
        """Return the result of the evaluation after a step, or None."""
        return next((entry["scores"] for entry in self.entries if entry["step"] == step and "scores" in entry), None)


def read_log(path: Path | str) -> Iterator[dict[str, Any]]:
    """Read the entries of a log; a line that a killed process left incomplete ends it.

    Args:
        path: The file.

    Raises:
        InputError: The file does not exist.
    """
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; pass the {LOG_FILE} of a run.") from None
    for line in lines:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            raise InputError(f"{path} is not the log of a run; pass its {LOG_FILE}.")
        yield entry


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry) + "\n"

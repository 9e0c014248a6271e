"""Coverage-guided fuzzing by atheris: keeps the mutations that reach new lines of the converter."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any


def fuzz(seconds: int) -> None:
    """Fuzz until the time is over or something breaks, then ends the process; what broke it is saved.

    Args:
        seconds: For how long.

    Raises:
        ModuleNotFoundError: atheris is not installed.
    """
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["convert"]):
        from tests.convert.fuzz.mutations import mutate
        from tests.convert.fuzz.seeds import seeds
        from tests.convert.fuzz.target import examine
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "corpus").mkdir()
    for name, data in seeds().items():
        (folder / "corpus" / name).write_bytes(data)

    def damage(data: bytes, longest: int, number: int) -> bytes:
        try:
            return mutate(data, number)[:longest]
        except Exception:  # What is damaged already may be no model to change any more.
            return data[: longest // 2]

    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096", "-max_len=4000000"]
    options = [sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(folder / "corpus")]
    atheris.Setup(options, examine, custom_mutator=damage)
    atheris.Fuzz()

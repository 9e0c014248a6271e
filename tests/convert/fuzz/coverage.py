"""Coverage-guided fuzzing with atheris, which keeps the mutations that reach new lines of the converter."""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any


def fuzz(seconds: int) -> None:
    """Fuzz until the time is over or a file fails, then end the process; a failing file is saved.

    Args:
        seconds: Time limit in seconds.

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
        except Exception:  # A file that is already damaged may not parse as a model.
            return data[: longest // 2]

    limits = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096", "-max_len=4000000"]
    options = [sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(folder / "corpus")]
    atheris.Setup(options, examine, custom_mutator=damage)
    atheris.Fuzz()

"""Run mutations one after the other and report the failures."""

import dataclasses
import faulthandler
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.convert.fuzz.mutations import mutate
from tests.convert.fuzz.seeds import seeds
from tests.convert.fuzz.target import examine
from tests.helpers.limits import bounded

_SECONDS = 2.0
_MEGABYTES, _MEGABYTES_FOR_SMALL = 256, 64
_SMALL = 2_000
# A case that hangs in compiled code ignores signals; after this time the process exits with a traceback.
_HANG_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Failure:
    """Damaged file for which the converter raised an exception that is not an error of minilm_jax.

    Attributes:
        seed: Name of the valid file.
        number: The number given to `mutate`.
        data: The bytes of the damaged file.
        error: The exception.
    """

    seed: str
    number: int
    data: bytes
    error: Exception

    @property
    def place(self) -> str:
        """The line that raised, which identifies the bug."""
        frames = traceback.extract_tb(self.error.__traceback__)
        own = [frame for frame in frames if "convert" in Path(frame.filename).parts] or list(frames)
        return f"{type(self.error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}"

    def save(self) -> Path:
        """Write the bytes to a new temporary folder and return the path."""
        path = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"{self.seed}-{self.number}.onnx"
        path.write_bytes(self.data)
        return path

    def report(self) -> str:
        """Return a description of the failure and the command that reproduces it."""
        trace = "".join(traceback.format_exception(self.error, limit=-6))
        return (
            f"seed {self.seed}, mutation {self.number}: {self.place}\n{trace}"
            f"to reproduce: python -m tests.convert.fuzz --file {self.save()}\n"
        )


def failures(count: int, start: int = 0) -> Iterator[Failure]:
    """Examine mutations of all seeds in turn.

    Args:
        count: Number of mutations.
        start: Number of the first mutation.

    Yields:
        The mutations that failed.
    """
    valid = list(seeds().items())
    for number in range(start, start + count):
        name, data = valid[number % len(valid)]
        damaged = mutate(data, number)
        if (error := attempt(damaged)) is not None:
            yield Failure(name, number, damaged, error)


def attempt(data: bytes) -> Exception | None:
    """Examine a file within limits on time and memory; return any exception that is not an error of minilm_jax."""
    faulthandler.dump_traceback_later(_HANG_SECONDS, exit=True)
    try:
        with bounded(_SECONDS, _MEGABYTES_FOR_SMALL if len(data) <= _SMALL else _MEGABYTES):
            examine(data)
    except Exception as error:  # Any other exception is a bug, which the fuzzer reports.
        return error
    finally:
        faulthandler.cancel_dump_traceback_later()
    return None

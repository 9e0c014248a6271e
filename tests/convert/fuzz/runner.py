"""Runs mutations one after the other and tells what broke."""

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
_MEGABYTES, _MEGABYTES_OF_SMALL = 256, 64
_SMALL = 2_000
# A case that neither ends nor answers to a signal, inside compiled code, ends the process with a traceback.
_HANGS_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Failure:
    """A file that brought something else than an error of our own.

    Attributes:
        seed: Name of the valid file.
        number: What `mutate` made the damaged one from.
        data: Its bytes.
        error: What was raised.
    """

    seed: str
    number: int
    data: bytes
    error: Exception

    @property
    def place(self) -> str:
        """The line that raised; one bug has one."""
        frames = traceback.extract_tb(self.error.__traceback__)
        own = [frame for frame in frames if "convert" in Path(frame.filename).parts] or list(frames)
        return f"{type(self.error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}"

    def save(self) -> Path:
        """Write the bytes into a new temporary folder."""
        path = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"{self.seed}-{self.number}.onnx"
        path.write_bytes(self.data)
        return path

    def report(self) -> str:
        """Return what happened and how to make it happen again."""
        trace = "".join(traceback.format_exception(self.error, limit=-6))
        return (
            f"seed {self.seed}, mutation {self.number}: {self.place}\n{trace}"
            f"again: python -m tests.convert.fuzz --file {self.save()}\n"
        )


def failures(count: int, start: int = 0) -> Iterator[Failure]:
    """Examine mutations of all seeds in turn.

    Args:
        count: How many.
        start: Number of the first.

    Yields:
        Those that failed.
    """
    valid = list(seeds().items())
    for number in range(start, start + count):
        name, data = valid[number % len(valid)]
        damaged = mutate(data, number)
        if (error := attempt(damaged)) is not None:
            yield Failure(name, number, damaged, error)


def attempt(data: bytes) -> Exception | None:
    """Examine one file within bounds on time and memory; returns what it raised, if that is none of our errors."""
    faulthandler.dump_traceback_later(_HANGS_SECONDS, exit=True)
    try:
        with bounded(_SECONDS, _MEGABYTES_OF_SMALL if len(data) <= _SMALL else _MEGABYTES):
            examine(data)
    except Exception as error:  # Whatever it is, it is what the fuzzer looks for.
        return error
    finally:
        faulthandler.cancel_dump_traceback_later()
    return None

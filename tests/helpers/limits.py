"""Bounds on what one file may cost, so that a bomb is an error and not the end of the machine."""

import contextlib
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# Where the system tells no size of the address space, only time is bounded.
_STATM = Path("/proc/self/statm")


@contextlib.contextmanager
def bounded(seconds: float = 2.0, megabytes: int = 64) -> Iterator[None]:
    """Let the block take so much more memory and so much processor time, that of all threads.

    Args:
        seconds: Processor time, so that a busy machine fails nothing.
        megabytes: On top of what the process has when the block begins.

    Raises:
        MemoryError: From inside the block, where it asks for more.
        TimeoutError: From inside the block or, where that swallowed it, at its end.
    """
    before, started = signal.signal(signal.SIGPROF, _too_slow), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with _address_space(megabytes):
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if (took := time.process_time() - started) > seconds:
        raise TimeoutError(f"took {took:.1f} s, more than {seconds} s")


@contextlib.contextmanager
def _address_space(megabytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if _STATM.exists():
        pages = int(_STATM.read_text("ascii").split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * 2**20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError("took too long")

"""Limits on time and memory, so that a hostile file causes an error and does not exhaust the machine."""

import contextlib
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

# On systems without this file the memory is not limited.
_STATM = Path("/proc/self/statm")


@contextlib.contextmanager
def bounded(seconds: float = 2.0, megabytes: int = 64) -> Iterator[None]:
    """Limit the processor time of a block and the memory that it allocates.

    Args:
        seconds: Processor time of all threads, which does not depend on the load of the machine.
        megabytes: Memory in addition to that of the process at the start of the block.

    Raises:
        MemoryError: Inside the block, when it allocates more.
        TimeoutError: Inside the block, or at its end if the block caught the error.
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

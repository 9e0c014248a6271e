"""The cost of a whole process, from its start to its exit."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class ProcessCost(NamedTuple):
    """The cost of a process.

    Attributes:
        seconds: Time from its start to its exit.
        megabytes: Its peak memory.
    """

    seconds: float
    megabytes: float


def process_cost(command: Sequence[str], environment: Mapping[str, str]) -> ProcessCost:
    """Run a command and return its cost.

    Args:
        command: The program and its arguments; its standard output is discarded.
        environment: Variables to set, in addition to those of this process.

    Raises:
        ChildProcessError: The command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ChildProcessError(f"exit code {process.returncode}: {' '.join(command)}")
    # macOS reports bytes, Linux units of 1,024 bytes.
    return ProcessCost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1_024) / 1e6)

"""The memory of a process."""

import re
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def megabytes() -> tuple[float, float]:
    """Returns what this process holds now and the most that it held; where only the latter is known, that twice."""
    # On Linux getrusage also counts what the parent held when it started this process.
    peak = _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1e6 if sys.platform == "darwin" else 1e3
    )
    return _status("VmRSS") or peak, peak


def _status(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text()) if _STATUS.exists() else None
    return int(found[1]) * 1024 / 1e6 if found else 0

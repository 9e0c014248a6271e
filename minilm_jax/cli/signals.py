"""Signals that end a process, as exceptions that unwind it, so that temporary files are removed."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_SECONDS_TO_NEXT_TRY = 0.01


@contextlib.contextmanager
def raised_as_exceptions() -> Iterator[None]:
    """Raises KeyboardInterrupt for Ctrl-C and SystemExit for other signals, unless they are ignored or taken."""
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in usual}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda lost: _try_again(lost.exc_value) or hook(lost)
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _try_again(lost: Any) -> bool:
    """Sends a signal anew whose exception fell into a destructor or into jax's garbage collection, which drop it."""
    if not isinstance(lost, KeyboardInterrupt | SystemExit):
        return False
    number = signal.SIGINT if isinstance(lost, KeyboardInterrupt) else int(lost.code or 0) - 128
    threading.Timer(_SECONDS_TO_NEXT_TRY, signal.raise_signal, [number]).start()
    return True

"""Terminating signals as exceptions, so that temporary files are removed before the process ends."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_TERMINATING = ("SIGINT", "SIGTERM", "SIGHUP")
_SECONDS_BEFORE_RESENDING = 0.01


@contextlib.contextmanager
def raised_as_exceptions() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and SystemExit on other terminating signals within the block.

    Signals that are ignored, or for which the caller has set a handler, keep their behavior.
    """
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in _TERMINATING if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in defaults}
    hook = sys.unraisablehook
    sys.unraisablehook = lambda ignored: _resend(ignored.exc_value) or hook(ignored)
    for number in before:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _raise(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _resend(ignored: Any) -> bool:
    """Send a signal again if Python ignored its exception; return whether the exception came from a signal.

    Python ignores exceptions raised in destructors and in callbacks of the garbage collector, of which JAX has one.
    """
    if not isinstance(ignored, KeyboardInterrupt | SystemExit):
        return False
    number = signal.SIGINT if isinstance(ignored, KeyboardInterrupt) else int(ignored.code or 0) - 128
    threading.Timer(_SECONDS_BEFORE_RESENDING, signal.raise_signal, [number]).start()
    return True

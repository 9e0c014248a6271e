"""Signals that end a process, as exceptions that unwind it, so that temporary files are removed."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
_received: list[int] = []


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Raises KeyboardInterrupt for Ctrl-C and SystemExit for other signals, unless they are ignored or taken."""
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) in usual}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _received.clear()


def raise_if_received() -> None:
    """Raises once more what a signal raised; the first is lost if it fell into a destructor or a callback from C."""
    if _received:
        raise KeyboardInterrupt if _received[0] == signal.SIGINT else SystemExit(128 + _received[0])


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise_if_received()

"""A process that does what it is told, one thing after the other, and that ends with whoever started it."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Seconds for a process to end by itself, which leaves nothing behind.
_PATIENCE = 10


class WorkerError(Exception):
    """What a worker was told to do failed, or ended it."""


class Worker:
    """A process of its own, so that no library's threads or memory disturb another's."""

    def __init__(self) -> None:
        """Starts the process."""
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Ends the process, at once where something went wrong."""
        self._connection.close()
        self._process.join(_PATIENCE if error is None else 0)
        self._process.kill()
        self._process.join()

    def __call__(self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Calls a function in the process.

        Args:
            function: One of a module, as only its name is sent.
            args: Its arguments.
            kwargs: Its named arguments.

        Returns:
            What it returned.

        Raises:
            WorkerError: It raised something, or the process has ended.
        """
        try:
            self._connection.send((function, args, kwargs))
            result, error = self._connection.recv()
        except (EOFError, OSError) as ended:
            self._process.join()
            raise WorkerError(f"the process ended with code {self._process.exitcode}") from ended
        if error:
            raise WorkerError(error)
        return result


def apart(function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Calls a function in a process that ends with it, which frees all that it took."""
    with Worker() as worker:
        return worker(function, *args, **kwargs)


def _serve(connection: Connection) -> None:
    # Who started this process gets the signal too, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            function, args, kwargs = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(function, args, kwargs))


def _outcome(function: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, str]:
    try:
        return function(*args, **kwargs), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"

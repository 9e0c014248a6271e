"""Separate processes, so that the threads and the memory of one library do not disturb another."""

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

# A process that exits by itself removes its temporary files, so it is killed only after this many seconds.
_SECONDS_TO_EXIT = 10


class WorkerError(Exception):
    """A function failed in a worker, or the worker's process ended."""


class Worker:
    """A process that calls functions, one after the other, until it is closed or its parent ends."""

    def __init__(self) -> None:
        """Start the process."""
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        """Return the worker itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process, at once if there was an exception."""
        self._connection.close()
        self._process.join(_SECONDS_TO_EXIT if error is None else 0)
        self._process.kill()
        self._process.join()

    def __call__(self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call a function in the process.

        Args:
            function: A module-level function, because only its name is sent.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            The result of the function.

        Raises:
            WorkerError: The function raised an exception, or the process has ended.
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


def run_in_process(function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Call a function in a process that ends afterwards, which frees all its memory."""
    with Worker() as worker:
        return worker(function, *args, **kwargs)


def _serve(connection: Connection) -> None:
    # The parent receives Ctrl-C too, and ends this process.
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

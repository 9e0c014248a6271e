"""Detection of processes in which JAX cannot work, because it was started before they were forked."""

import os

from minilm_jax.errors import MinilmJaxError

_process: int | None = None


def check_not_forked() -> None:
    """Raise MinilmJaxError in a child process that was forked after JAX was first used here.

    Threads do not survive a fork, and JAX would wait for its own forever.
    """
    global _process
    if _process is None:
        _process = os.getpid()
    elif _process != os.getpid():
        raise MinilmJaxError(
            f"this process was forked from process {_process} after JAX was started there, and JAX would wait forever"
            " for threads that a fork does not copy. Start processes with multiprocessing.get_context('spawn'), or load"
            " the model after the fork, in each child (gunicorn: without --preload)."
        )

"""Threads that work in the background."""

import threading


def wait_for_threads(name: str) -> None:
    """Wait until the threads of this name end."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()

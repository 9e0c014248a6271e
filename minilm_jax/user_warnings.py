"""Warnings that point to the user's code."""

import itertools
import sys
import traceback
import warnings


def warn_user(message: str) -> None:
    """Issue a UserWarning that points to the first caller outside this package."""
    frames = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(sys._getframe()))
    own = itertools.takewhile("minilm_jax".__eq__, (name.partition(".")[0] for name in frames))
    warnings.warn(message, stacklevel=sum(1 for _ in own) + 1)

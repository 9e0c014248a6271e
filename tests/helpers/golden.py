"""The golden values that `tests/golden/make.py` wrote."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.paths import GOLDEN


def golden(name: str) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of `tests/golden/NAME.npz`."""
    return np.load(GOLDEN / f"{name}.npz")

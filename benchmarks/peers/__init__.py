"""One file for each library measured: how to load it, and how a script of one line embeds a sentence with it.

Each has `load(folder, **options) -> Encode`, set up as its documentation says is fastest for the same float32 result.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

# Texts to unit vectors, float32[n, 384].
Encode = Callable[[Sequence[str]], NDArray[np.float32]]

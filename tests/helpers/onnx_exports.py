"""The exported graph of the published model, and an exact comparison of params with the weights of the hub."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from minilm_jax.checkpoints.hub_names import from_hub
from minilm_jax.nn.params import Params, flatten
from tests.helpers.paths import EXPORTS

HUB = EXPORTS / "hub.onnx.gz"


def same_bits(params: Params, weights: Mapping[str, NDArray[np.float32]]) -> bool:
    """Return whether params are bit for bit the weights of a state dict; the pooler may be missing."""
    wanted = from_hub(weights)
    found = flatten(params)
    missing = {path for path in wanted if path not in found}
    assert missing in (set(), {"pooler.dense.kernel", "pooler.dense.bias"})
    return all(np.array_equal(found[path], wanted[path]) and found[path].dtype == np.float32 for path in found)

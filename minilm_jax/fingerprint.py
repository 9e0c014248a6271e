"""The fingerprint of a model, by which stored vectors are known to be its own."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from minilm_jax.nn.params import flatten

if TYPE_CHECKING:
    from minilm_jax.pretrained import PretrainedModel


def fingerprint(model: "PretrainedModel") -> str:
    """Hashes all that decides what vector a text gets; two models with one fingerprint give the same vectors.

    Args:
        model: Any model; where it was loaded from does not matter, nor whether it has a pooler.

    Returns:
        A sha256 in hexadecimal digits.
    """
    settings = (model.config, model.max_seq_length, model.truncate_dim, model.prompts, model.default_prompt_name)
    digest = hashlib.sha256(f"{settings}\n{model.tokenizer.to_json()}\n".encode())
    for name, leaf in sorted(flatten(model.params).items()):
        if not name.startswith("pooler."):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{name} {array.dtype}{array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()

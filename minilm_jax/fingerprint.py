"""Fingerprint of a model, which tells whether stored vectors were computed with it."""

import hashlib
import json

import numpy as np

from minilm_jax.config.encoder_config import DROPOUT_FIELDS
from minilm_jax.nn.params import flatten
from minilm_jax.text_model import TextModel

# These settings of encoders change their vectors.
_OF_VECTORS = ("truncate_dim", "max_active_dims")


def fingerprint(model: TextModel) -> str:
    """Return a hash of everything that determines the result of a text: its vector, or its logits.

    Models with equal fingerprints give equal vectors. The location of the model, its pooler and the implementation of
    attention do not change its fingerprint.

    Args:
        model: Any model.

    Returns:
        A SHA-256 hash in hexadecimal digits.
    """
    digest = hashlib.sha256(f"{_settings(model)}\n{model.tokenizer.to_json()}\n".encode())
    for name, leaf in sorted(flatten(model.params).items()):
        # A sentence vector does not depend on the pooler.
        if model.config.classifier is not None or not name.startswith("pooler."):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{name} {array.dtype}{array.shape}\n".encode())
            digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _settings(model: TextModel) -> str:
    settings = {
        "config": {name: value for name, value in model.config.to_dict().items() if name not in DROPOUT_FIELDS},
        "max_seq_length": model.max_seq_length,
        **{name: getattr(model, name) for name in _OF_VECTORS if hasattr(model, name)},
        "prompts": model.prompts,
        "default_prompt_name": model.default_prompt_name,
    }
    # The keys are sorted, so that the order of fields and prompts does not matter. `default` converts NumPy integers.
    return json.dumps(settings, sort_keys=True, default=int)

"""Compare the table of a language model's logits with the word embeddings, of which it is a copy."""

import numpy as np

from convert.graph.constant import Constant
from minilm_jax.errors import ConversionError

# The largest difference between a weight and its rounding to a type, as a part of the largest weight: half a step.
# Some quantizers use 7 of 8 bits, and blocks of 4 bits have their own steps.
_ROUNDING = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "int8": 1 / 125, "uint8": 1 / 125}
_FEWER_BITS = 1 / 4
_FLOATS = ("float32", "float64")


def check_same_table(words: Constant, decoder: Constant) -> None:
    """Check that the logits have the table of the words, or one that differs by the roundings of both.

    Args:
        words: The word embeddings [V, D].
        decoder: The kernel of the logits [D, V].

    Raises:
        ConversionError: It is another table.
    """
    own, other = words.weight, decoder.weight.T
    if own.shape != other.shape:
        raise ConversionError(
            f"the language model's kernel {decoder.source!r} is {list(decoder.value.shape)}, but the word embeddings"
            f" {words.source!r} are {list(own.shape)}, and it must be their transpose."
        )
    allowed = (_rounding(words) + _rounding(decoder)) * float(np.abs(own).max(initial=0))
    with np.errstate(all="ignore"):
        difference = float(np.abs(own - other).max(initial=0))
    if not difference <= allowed:
        raise ConversionError(
            f"the language model's kernel {decoder.source!r} is not a copy of the word embeddings {words.source!r};"
            " models whose logits have their own table are not supported."
        )


def _rounding(table: Constant) -> float:
    return 0.0 if table.stored in _FLOATS else _ROUNDING.get(table.stored, _FEWER_BITS)

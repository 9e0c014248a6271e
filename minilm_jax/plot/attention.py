"""Heat map of the attention between tokens."""

from typing import TYPE_CHECKING

import jax
import numpy as np

from minilm_jax.errors import InputError
from minilm_jax.explain import attention_weights
from minilm_jax.plot import style
from minilm_jax.sentence_encoder import SentenceEncoder
from minilm_jax.tokens.batching import Batch

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def attention_map(
    encoder: SentenceEncoder, text: str, *, layer: int = -1, head: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draw a heat map of the attention weights between the tokens of a text.

    Args:
        encoder: The encoder whose attention is shown.
        text: A text, truncated at the encoder's max_seq_length; one or two sentences stay readable.
        layer: Index of the layer, from 0; -1 is the last one.
        head: Index of the head, from 0; by default the mean over all heads.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The layer or head does not exist, the text is not a valid string, or matplotlib is not installed.
    """
    heads = encoder.config.num_attention_heads
    if head is not None and not 0 <= head < heads:
        raise InputError(f"head is {head}; the model has {heads}, counted from 0.")
    pieces = encoder.tokenizer.pieces(text, encoder.max_seq_length)
    ids = np.array([[piece.id for piece in pieces]], np.int32)
    weights = _attention_weights(encoder.params, Batch(ids, np.ones_like(ids)), encoder.config, layer=layer)[0]
    side = min(max(0.32 * len(pieces), 2.5), 12)
    ax = style.axes(ax, side + 2, side + 1)
    style.matrix(ax, weights.mean(axis=0) if head is None else weights[head], "weight", vmin=0)
    font, tokens = style.font(9 if len(pieces) <= 40 else 6), [piece.token for piece in pieces]
    ax.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", rotation_mode="anchor", **font)
    ax.set_yticks(range(len(tokens)), tokens, **font)
    ax.set(xlabel="attended to", ylabel="token")
    which = f"mean of {heads} heads" if head is None else f"head {head}"
    ax.set_title(f"Attention in layer {layer % encoder.config.num_hidden_layers}, {which}", fontsize=10)
    return ax


_attention_weights = jax.jit(attention_weights, static_argnames="layer")

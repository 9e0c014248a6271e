"""Two texts with each word colored by its contribution to their similarity or score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from minilm_jax.cross_encoder import CrossEncoder
from minilm_jax.errors import InputError
from minilm_jax.explain import WordContribution, pair_contributions, word_contributions
from minilm_jax.plot import style
from minilm_jax.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Texts: TypeAlias = tuple[list[WordContribution], list[WordContribution]]

_WIDTH_INCHES = 9.0
# These sizes are in points.
_FONT_SIZE, _LINE_HEIGHT, _WORD_SPACE, _TEXT_SPACE, _WORD_PADDING = 13, 24, 7, 14, 2.5
_COLORBAR_HEIGHT, _TITLE_HEIGHT = 36, 26


def saliency(encoder: SentenceEncoder | CrossEncoder, first: str, second: str, *, ax: "Axes | None" = None) -> "Axes":
    """Draw two texts, each word colored by its contribution to their similarity or score, see `minilm_jax.explain`.

    Args:
        encoder: An encoder, or a cross-encoder with one label, in float32 or bfloat16; int8 is not differentiable.
        first: A text, truncated at the encoder's max_seq_length.
        second: Another text.
        ax: Axes to draw on; by default those of a new figure, whose height fits the texts.

    Returns:
        The axes, whose unit is one point.

    Raises:
        InputError: The encoder is in int8 or has several labels, a text is not a valid string, or matplotlib is not
            installed.
    """
    if isinstance(encoder, CrossEncoder):
        title, quantity, texts = _score(encoder, first, second)
    else:
        title, quantity, texts = _similarity(encoder, first, second)
    new_figure = ax is None
    ax = style.axes(ax, _WIDTH_INCHES, 3)
    ax.set_axis_off()
    ax.set_title(f"{title}, and the contribution of each word", fontsize=10, loc="left")
    colors = _color_scale([word.contribution for words in texts for word in words])
    bottom = 0.0
    for words in texts:
        bottom = _write(ax, words, colors, bottom) + _TEXT_SPACE
    if new_figure:
        style.figure(ax).set_size_inches(_WIDTH_INCHES, (bottom + _COLORBAR_HEIGHT + _TITLE_HEIGHT) / 72)
    width, height = _size(ax)
    ax.set(xlim=(0, width), ylim=(height, 0))
    place = (0, 1 - (bottom + 8) / height, 0.35, 8 / height)
    style.colorbar(colors, ax.inset_axes(place), f"contribution to the {quantity}", orientation="horizontal")
    return ax


def _similarity(encoder: SentenceEncoder, first: str, second: str) -> tuple[str, str, _Texts]:
    texts = word_contributions(encoder, first, second), word_contributions(encoder, second, first)
    vectors = encoder.encode([first, second])
    cosine = float(np.prod(vectors, axis=0).sum() / np.prod(np.linalg.norm(vectors, axis=1)))
    return f"Cosine similarity {cosine:.2f}", "similarity", texts


def _score(model: CrossEncoder, first: str, second: str) -> tuple[str, str, _Texts]:
    if model.num_labels != 1:
        raise InputError(f"the model has {model.num_labels} labels; use explain.pair_contributions with a label.")
    texts = pair_contributions(model, first, second)
    logit = model.predict((first, second), activation_fn="identity")
    return f"Logit {np.ravel(logit)[0]:.2f}", "logit", texts


def _color_scale(contributions: Sequence[float]) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    # The limit excludes the darkest colors, on which text is hard to read.
    limit = 1.3 * max(map(abs, contributions), default=1.0)
    return ScalarMappable(Normalize(-limit, limit), style.DIVERGING)


def _size(ax: "Axes") -> tuple[float, float]:
    """Return the width and height of the axes in points, which are only known after a draw."""
    figure = style.figure(ax)
    figure.draw_without_rendering()
    extent = ax.get_window_extent()
    return extent.width * 72 / figure.dpi, extent.height * 72 / figure.dpi


def _write(ax: "Axes", words: Sequence[WordContribution], colors: Any, top: float) -> float:
    """Write words in lines, starting at `top`, and return the bottom of the last line."""
    from matplotlib.patches import FancyBboxPatch

    width, _ = _size(ax)
    options: Any = {"va": "center", "in_layout": False, **style.font(_FONT_SIZE)}
    texts = [ax.text(0, 0, word.word, **options) for word in words]
    widths = [text.get_window_extent().width * 72 / style.figure(ax).dpi for text in texts]
    y = top
    for text, word, own_width, (x, line) in zip(texts, words, widths, _positions(words, widths, width), strict=True):
        y = top + (line + 0.5) * _LINE_HEIGHT
        strength, color = abs(colors.norm(word.contribution) - 0.5), colors.to_rgba(word.contribution)
        text.set(position=(x, y), color="white" if strength > 0.27 else "0.15")
        box: Any = {"boxstyle": f"round,pad={_WORD_PADDING}", "edgecolor": "none", "facecolor": color}
        # Boxes of words without a space between them overlap; the word with the larger contribution is on top.
        ax.add_patch(FancyBboxPatch((x, y - _FONT_SIZE / 2), own_width, _FONT_SIZE, zorder=1 + strength, **box))
    return y + _LINE_HEIGHT / 2


def _positions(words: Sequence[WordContribution], widths: Sequence[float], limit: float) -> list[tuple[float, int]]:
    """Return the x position and the line of each word; punctuation stays with the word before it."""
    positions, x, line, end = [], _WORD_PADDING, 0, 0
    for word, width in zip(words, widths, strict=True):
        x += _WORD_SPACE if word.start > end and positions else 0
        if x + width > limit and (word.start > end or word.word[:1].isalnum()):
            x, line = _WORD_PADDING, line + 1
        positions.append((x, line))
        x, end = x + width, word.end
    return positions

"""Which words made two texts similar, as colours behind them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilm_jax.explain import WordShare, word_shares
from minilm_jax.plot import style
from minilm_jax.sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH_INCHES = 9.0
# In points: letters, lines, the space between words, between texts, and around a word.
_SIZE, _LINE, _SPACE, _BETWEEN, _AROUND = 13, 24, 7, 14, 2.5
# The key of the colours with its labels, and the title.
_KEY, _TITLE = 36, 26


def saliency(encoder: SentenceEncoder, first: str, second: str, *, ax: "Axes | None" = None) -> "Axes":
    """Draws two texts, each word on the colour of what it adds to their similarity, see `explain.word_shares`.

    Args:
        encoder: In float32 or bfloat16, which have gradients.
        first: A text; cut at the encoder's max_seq_length.
        second: Another one.
        ax: Where to draw; by default in a new figure, as high as the texts need.

    Returns:
        The axes, in points.

    Raises:
        InputError: The encoder is in int8, a text is no valid string, or matplotlib is not installed.
    """
    texts = [word_shares(encoder, first, second), word_shares(encoder, second, first)]
    vectors = encoder.encode([first, second])
    cosine = float(np.prod(vectors, axis=0).sum() / np.prod(np.linalg.norm(vectors, axis=1)))
    new_figure = ax is None
    ax = style.axes(ax, _WIDTH_INCHES, 3)
    ax.set_axis_off()
    ax.set_title(f"Cosine similarity {cosine:.2f}, and what each word adds to it", fontsize=10, loc="left")
    colours = _colours([word.share for words in texts for word in words])
    bottom = 0.0
    for words in texts:
        bottom = _write(ax, words, colours, bottom) + _BETWEEN
    if new_figure:
        style.figure(ax).set_size_inches(_WIDTH_INCHES, (bottom + _KEY + _TITLE) / 72)
    width, height = _points(ax)
    ax.set(xlim=(0, width), ylim=(height, 0))
    place = (0, 1 - (bottom + 8) / height, 0.35, 8 / height)
    style.key(colours, ax.inset_axes(place), "share of the similarity", orientation="horizontal")
    return ax


def _colours(shares: Sequence[float]) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    # The darkest colours, on which black is hard to read, are left out.
    limit = 1.3 * max(map(abs, shares), default=1.0)
    return ScalarMappable(Normalize(-limit, limit), style.TWO_WAYS)


def _points(ax: "Axes") -> tuple[float, float]:
    """Returns the width and height of the axes, which are known when the figure was laid out."""
    figure = style.figure(ax)
    figure.draw_without_rendering()
    extent = ax.get_window_extent()
    return extent.width * 72 / figure.dpi, extent.height * 72 / figure.dpi


def _write(ax: "Axes", words: Sequence[WordShare], colours: Any, top: float) -> float:
    """Writes words in lines from a height on, and returns the height where they end."""
    from matplotlib.patches import FancyBboxPatch

    width, _ = _points(ax)
    options: Any = {"va": "center", "in_layout": False, **style.letters(_SIZE)}
    texts = [ax.text(0, 0, word.word, **options) for word in words]
    widths = [text.get_window_extent().width * 72 / style.figure(ax).dpi for text in texts]
    y = top
    for text, word, own_width, (x, line) in zip(texts, words, widths, _places(words, widths, width), strict=True):
        y = top + (line + 0.5) * _LINE
        strength = abs(colours.norm(word.share) - 0.5)
        text.set(position=(x, y), color="white" if strength > 0.27 else "0.15")
        look: Any = {"boxstyle": f"round,pad={_AROUND}", "edgecolor": "none", "facecolor": colours.to_rgba(word.share)}
        # Words without a space between them overlap; what matters more lies above.
        ax.add_patch(FancyBboxPatch((x, y - _SIZE / 2), own_width, _SIZE, zorder=1 + strength, **look))
    return y + _LINE / 2


def _places(words: Sequence[WordShare], widths: Sequence[float], limit: float) -> list[tuple[float, int]]:
    """Returns where each word begins, and in which line; punctuation stays with the word before it."""
    places, x, line, end = [], _AROUND, 0, 0
    for word, width in zip(words, widths, strict=True):
        x += _SPACE if word.start > end and places else 0
        if x + width > limit and (word.start > end or word.word[:1].isalnum()):
            x, line = _AROUND, line + 1
        places.append((x, line))
        x, end = x + width, word.end
    return places

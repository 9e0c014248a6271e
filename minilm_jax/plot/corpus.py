"""A map of many texts, on which alike ones lie close together."""

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import ProjectionMethod
from minilm_jax.errors import InputError
from minilm_jax.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

_LONGEST_LABEL = 40
# So few points leave room around them.
_FEW = 40
# A map has room for far fewer.
_MOST_TRIED = 500
# Pixels that a label keeps from the middle of any point.
_MARGIN = 4
# Right or left of a point, above or below it.
_CORNERS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


def corpus_map(
    vectors: Any,
    texts: Sequence[str] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    method: ProjectionMethod = "pca",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws vectors as points of a plane.

    Args:
        vectors: float[n, D], three or more.
        texts: Labels of the points, shortened; those that would cover others are left out.
        groups: What colours the points and is named in the legend, a cluster or a topic; None is grey.
        method: "pca" needs nothing more; "tsne" needs scikit-learn and "umap" umap-learn, which keep neighbours closer.
        ax: Where to draw; by default in a new figure.

    Returns:
        The axes.

    Raises:
        InputError: Labels or groups are not one a vector, the method is unknown, or its package is not installed.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) < 3:
        raise InputError(f"the vectors have shape {vectors.shape}; a map needs [n, D] of three or more.")
    for name, values in (("texts", texts), ("groups", groups)):
        if values is not None and len(values) != len(vectors):
            raise InputError(f"there are {len(vectors)} vectors and {len(values)} {name}; each needs one.")
    points, (horizontal, vertical) = _project(vectors, method)
    ax = style.axes(ax, 9, 6.5)
    _scatter(ax, points, [""] * len(points) if groups is None else groups)
    ax.set(xticks=[], yticks=[], xlabel=horizontal, ylabel=vertical)
    ax.margins(0.2 if len(points) <= _FEW else 0.08)
    ax.spines[:].set_color("0.85")
    if groups is not None:
        ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.3)
    if texts is not None:
        _label_what_fits(ax, points, texts)
    return ax


def _project(vectors: NDArray[np.float32], method: ProjectionMethod) -> tuple[NDArray[np.float32], tuple[str, str]]:
    """Returns the points, float32[n, 2], and the names of the axes."""
    if method == "pca":
        return _principal_components(vectors)
    if method not in get_args(ProjectionMethod):
        raise InputError(f"method is {method!r}; it must be one of {', '.join(get_args(ProjectionMethod))}.")
    others = len(vectors) - 1
    try:
        if method == "tsne":
            from sklearn.manifold import TSNE  # pyright: ignore[reportMissingImports]

            reducer = TSNE(perplexity=min(30, others / 3), metric="cosine", init="pca", random_state=0)
        else:
            from umap import UMAP  # pyright: ignore[reportMissingImports]

            reducer = UMAP(n_neighbors=min(15, others), metric="cosine", random_state=0, n_jobs=1)
    except ImportError:
        package = {"tsne": "scikit-learn", "umap": "umap-learn"}[method]
        raise InputError(f"method {method!r} needs {package}: pip install {package}") from None
    name = {"tsne": "t-SNE", "umap": "UMAP"}[method]
    return np.asarray(reducer.fit_transform(vectors), np.float32), (f"{name} 1", f"{name} 2")


def _principal_components(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, str]]:
    centred = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    largest = directions[:, :-3:-1]
    # A direction and its opposite are both right; the one with its largest number positive is always the same.
    largest = largest * np.sign(largest[np.abs(largest).argmax(axis=0), [0, 1]])
    shares = variances[:-3:-1] / max(variances.sum(), np.finfo(np.float32).tiny)
    first, second = (f"component {i} ({share:.0%} of the variance)" for i, share in enumerate(shares, 1))
    return centred @ largest, (first, second)


def _scatter(ax: "Axes", points: NDArray[np.float32], groups: Sequence[Hashable]) -> None:
    from matplotlib import colormaps

    named = [group for group in dict.fromkeys(groups) if group is not None]
    palette = colormaps["tab10" if len(named) <= 10 else "turbo"].resampled(max(10, len(named)))
    size = float(np.clip(6_000 / len(points), 8, 45))
    colours = dict(zip(named, palette(range(len(named))), strict=True))
    for group, colour in {None: "0.8", **colours}.items():
        chosen = points[[own == group for own in groups]]
        if len(chosen):
            label = None if group is None else str(group)
            ax.scatter(*chosen.T, s=size, color=colour, alpha=0.85, linewidths=0.4, edgecolors="white", label=label)


def _label_what_fits(ax: "Axes", points: NDArray[np.float32], texts: Sequence[str]) -> None:
    """Writes labels beside their points, at the first corner where they cover no other label and no point."""
    style.figure(ax).draw_without_rendering()  # Only now is it known where the points are.
    pixels, frame = ax.transData.transform(points), ax.get_window_extent()
    font = style.letters(9 if len(points) <= _FEW else 7)
    taken: list[Bbox] = []
    for index in range(0, len(points), math.ceil(len(points) / _MOST_TRIED)):
        for corner in _CORNERS:
            label = _beside(ax, points[index], style.shortened(texts[index], _LONGEST_LABEL), corner, font)
            box = label.get_window_extent()
            inside = frame.x0 < box.x0 < box.x1 < frame.x1 and frame.y0 < box.y0 < box.y1 < frame.y1
            if inside and not box.count_overlaps(taken) and not box.padded(_MARGIN).count_contains(pixels):
                taken.append(box)
                break
            label.remove()


def _beside(ax: "Axes", point: Any, text: str, corner: tuple[int, int], font: Any) -> "Annotation":
    right, up = corner
    anchor: Any = {"ha": "left" if right > 0 else "right", "va": "bottom" if up > 0 else "top"}
    return ax.annotate(text, point, (4 * right, 3 * up), textcoords="offset points", color="0.25", **anchor, **font)

"""Map of many texts, on which similar texts are close together."""

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from minilm_jax.config import ProjectionMethod
from minilm_jax.errors import InputError, MissingPackageError
from minilm_jax.plot import style
from minilm_jax.tokens.texts import as_texts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

# Labels have at most this many characters.
_MAX_LABEL_LENGTH = 40
# With at most this many points, a map has room for larger labels and wider margins.
_FEW_POINTS = 40
# At most this many labels are tried, because a map has room for far fewer.
_MAX_LABELS_TRIED = 500
# Labels keep this distance, in pixels, from the center of every point.
_LABEL_DISTANCE = 4
# A label is placed right or left of its point (+1, -1), and above or below it (+1, -1).
_CORNERS = ((1, 1), (-1, 1), (1, -1), (-1, -1))


def corpus_map(
    vectors: Any,
    texts: Sequence[str] | None = None,
    *,
    groups: Sequence[Hashable] | None = None,
    method: ProjectionMethod = "pca",
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw vectors as points in a plane.

    Args:
        vectors: float[n, D], at least three.
        texts: Labels of the points, shortened; labels that would overlap others are left out.
        groups: Group of each point, such as a cluster or a topic, shown by color and legend; None is gray.
        method: "pca", or "tsne" (needs scikit-learn) or "umap" (needs umap-learn), which preserve neighborhoods better.
        ax: Axes to draw on; by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The number of texts or groups differs from the number of vectors, the method is unknown, or a
            package is not installed.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) < 3:
        raise InputError(f"the vectors have shape {vectors.shape}; pass [n, D] with at least three vectors.")
    texts = None if texts is None else as_texts(texts)
    for name, values in (("texts", texts), ("groups", groups)):
        if values is not None and len(values) != len(vectors):
            raise InputError(f"there are {len(vectors)} vectors and {len(values)} {name}; each needs one.")
    points, (horizontal, vertical) = _project(vectors, method)
    ax = style.axes(ax, 9, 6.5)
    _scatter(ax, points, [""] * len(points) if groups is None else groups)
    ax.set(xticks=[], yticks=[], xlabel=horizontal, ylabel=vertical)
    ax.margins(0.2 if len(points) <= _FEW_POINTS else 0.08)
    ax.spines[:].set_color("0.85")
    if groups is not None:
        ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), markerscale=1.3)
    if texts is not None:
        _add_labels(ax, points, texts)
    return ax


def _project(vectors: NDArray[np.float32], method: ProjectionMethod) -> tuple[NDArray[np.float32], tuple[str, str]]:
    """Return the points, float32[n, 2], and the labels of the axes."""
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
        raise MissingPackageError(f"method {method!r} needs {package}: pip install {package}") from None
    name = {"tsne": "t-SNE", "umap": "UMAP"}[method]
    return np.asarray(reducer.fit_transform(vectors), np.float32), (f"{name} 1", f"{name} 2")


def _principal_components(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[str, str]]:
    centered = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centered.T @ centered)
    largest = directions[:, :-3:-1]
    # The sign of a direction is arbitrary; making its largest component positive gives the same map on every machine.
    largest = largest * np.sign(largest[np.abs(largest).argmax(axis=0), [0, 1]])
    fractions = variances[:-3:-1] / max(variances.sum(), np.finfo(np.float32).tiny)
    first, second = (f"component {i} ({fraction:.0%} of the variance)" for i, fraction in enumerate(fractions, 1))
    return centered @ largest, (first, second)


def _scatter(ax: "Axes", points: NDArray[np.float32], groups: Sequence[Hashable]) -> None:
    from matplotlib import colormaps

    named = [group for group in dict.fromkeys(groups) if group is not None]
    palette = colormaps["tab10" if len(named) <= 10 else "turbo"].resampled(max(10, len(named)))
    size = float(np.clip(6_000 / len(points), 8, 45))
    colors = dict(zip(named, palette(range(len(named))), strict=True))
    for group, color in {None: "0.8", **colors}.items():
        chosen = points[[own == group for own in groups]]
        if len(chosen):
            label = None if group is None else str(group)
            ax.scatter(*chosen.T, s=size, color=color, alpha=0.85, linewidths=0.4, edgecolors="white", label=label)


def _add_labels(ax: "Axes", points: NDArray[np.float32], texts: Sequence[str]) -> None:
    """Write labels next to their points, each at the first corner where it overlaps no other label and no point."""
    style.figure(ax).draw_without_rendering()  # Positions in pixels are only known after drawing.
    pixels, frame = ax.transData.transform(points), ax.get_window_extent()
    font = style.font(9 if len(points) <= _FEW_POINTS else 7)
    taken: list[Bbox] = []
    for index in range(0, len(points), math.ceil(len(points) / _MAX_LABELS_TRIED)):
        for corner in _CORNERS:
            label = _annotate(ax, points[index], style.shorten(texts[index], _MAX_LABEL_LENGTH), corner, font)
            box = label.get_window_extent()
            inside = frame.x0 < box.x0 < box.x1 < frame.x1 and frame.y0 < box.y0 < box.y1 < frame.y1
            if inside and not box.count_overlaps(taken) and not box.padded(_LABEL_DISTANCE).count_contains(pixels):
                taken.append(box)
                break
            label.remove()


def _annotate(ax: "Axes", point: Any, text: str, corner: tuple[int, int], font: Any) -> "Annotation":
    right, up = corner
    anchor: Any = {"ha": "left" if right > 0 else "right", "va": "bottom" if up > 0 else "top"}
    return ax.annotate(text, point, (4 * right, 3 * up), textcoords="offset points", color="0.25", **anchor, **font)

"""Common parts of all plots: axes, color maps, fonts and labels."""

from typing import TYPE_CHECKING, Any

from minilm_jax.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# The first color map is for values from 0 up, the second for negative and positive values.
SEQUENTIAL, DIVERGING = "GnBu", "RdBu"

# These fonts provide characters that matplotlib's default font lacks; installed ones are tried in this order.
_FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Segoe UI Emoji",
)


def axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return the given axes, or those of a new figure.

    Args:
        ax: Existing axes, or None.
        width: Width of a new figure, in inches.
        height: Height of a new figure, in inches.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingPackageError("plots need matplotlib: pip install 'minilm-jax[plot]'") from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def figure(ax: "Axes") -> "Figure":
    """Return the top-level figure of the axes."""
    root = ax.get_figure(root=True)
    assert root is not None
    return root


def font(size: float) -> dict[str, Any]:
    """Return properties that show a text literally: "$" starts no formula, and fallback fonts cover more scripts."""
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    families = [*rcParams["font.family"], *(name for name in _FALLBACK_FONTS if name in installed)]
    return {"fontsize": size, "fontfamily": families, "parse_math": False}


def shorten(text: str, max_length: int) -> str:
    """Return a text as one line of at most `max_length` characters, with "…" for the rest."""
    line = "".join(filter(str.isprintable, " ".join(text.split())))
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def matrix(ax: "Axes", values: Any, label: str, **limits: Any) -> "AxesImage":
    """Draw float[n, m] as colored cells separated by white lines, with a colorbar on the right."""
    image = ax.imshow(values, cmap=SEQUENTIAL, interpolation="nearest", **limits)
    rows, columns = values.shape
    ax.set_xticks([i - 0.5 for i in range(1, columns)], minor=True)
    ax.set_yticks([i - 0.5 for i in range(1, rows)], minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5 if max(rows, columns) <= 30 else 0.4)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    wide = max(columns, 4)
    colorbar(image, ax.inset_axes((1 + 0.3 / wide, 0, 0.3 / wide, 1)), label)
    return image


def colorbar(scale: Any, ax: "Axes", label: str, **options: Any) -> None:
    """Draw a colorbar that fills the given axes."""
    bar = figure(ax).colorbar(scale, cax=ax, **options)
    bar.set_label(label, fontsize=9, color="0.3")
    ax.tick_params(labelsize=8, length=0, labelcolor="0.3")
    ax.spines[:].set_visible(False)

"""What all pictures share: where they are drawn, their colours, and how texts become labels."""

from typing import TYPE_CHECKING, Any

from minilm_jax.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# From nothing to much, and from less to more.
ONE_WAY, TWO_WAYS = "GnBu", "RdBu"

# Fonts for what matplotlib's own has no letters for; those that are installed are tried in turn.
_MORE_LETTERS = (
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
    """Returns the axes to draw in: those given, or new ones in a figure of so many inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise InputError("pictures need matplotlib: pip install 'minilm-jax[plot]'") from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1] if ax is None else ax


def figure(ax: "Axes") -> "Figure":
    """Returns the whole figure that the axes are in."""
    whole = ax.get_figure(root=True)
    assert whole is not None
    return whole


def letters(size: float) -> dict[str, Any]:
    """Returns the properties of a text that is shown as it is: not as a formula, and in all alphabets there are."""
    from matplotlib import font_manager, rcParams

    installed = set(font_manager.get_font_names())
    families = [*rcParams["font.family"], *(name for name in _MORE_LETTERS if name in installed)]
    return {"fontsize": size, "fontfamily": families, "parse_math": False}


def shortened(text: str, longest: int) -> str:
    """Returns a text on one line, its end cut if it has more characters than this."""
    line = "".join(filter(str.isprintable, " ".join(text.split())))
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def matrix(ax: "Axes", values: Any, label: str, **limits: Any) -> "AxesImage":
    """Draws float[n, m] as coloured cells between white lines, with the key of the colours at their right."""
    image = ax.imshow(values, cmap=ONE_WAY, interpolation="nearest", **limits)
    rows, columns = values.shape
    ax.set_xticks([i - 0.5 for i in range(1, columns)], minor=True)
    ax.set_yticks([i - 0.5 for i in range(1, rows)], minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5 if max(rows, columns) <= 30 else 0.4)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    wide = max(columns, 4)
    key(image, ax.inset_axes((1 + 0.3 / wide, 0, 0.3 / wide, 1)), label)
    return image


def key(colours: Any, ax: "Axes", label: str, **options: Any) -> None:
    """Fills axes with the key of the colours."""
    bar = figure(ax).colorbar(colours, cax=ax, **options)
    bar.set_label(label, fontsize=9, color="0.3")
    ax.tick_params(labelsize=8, length=0, labelcolor="0.3")
    ax.spines[:].set_visible(False)

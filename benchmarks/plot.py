"""The plot beside the page: how many times as fast as each peer minilm-jax is, a panel a level and precision."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports] only in the peers' environment

from benchmarks.results import COSTS, OURS, Report, Result

# What is drawn of each level, by a word in what was done.
_LEVELS = {"a": ("Kernels: texts × tokens", ("×",)), "b": ("encode", ("texts",)), "c": ("One sentence", ("median",))}
_PRECISIONS = ("float32", "bfloat16", "int8")

# By peer, the ratios of the rounds; by what was done, and by precision, too.
_Things = Mapping[str, Mapping[str, Sequence[float]]]
_Panel = Mapping[str, _Things]

# The Okabe-Ito colours, which all eyes can tell apart.
_COLOURS = {
    "OpenVINO, latency hint": "#0072b2",
    "OpenVINO, throughput hint": "#56b4e9",
    "onnxruntime": "#e69f00",
    "onnxruntime, fused": "#f0e442",
    "CTranslate2, one stream": "#009e73",
    "CTranslate2, a stream a core": "#8fd0bb",
    "sentence-transformers": "#d55e00",
    "fastembed": "#cc79a7",
}
_BAR = 0.8
_INCHES_A_BAR, _INCHES_AROUND, _INCHES_WIDE = 0.16, 0.5, 4.2

# Beyond so many times as fast, a bar is cut and says its number.
_LIMIT = 3.0


def draw(report: Report, path: Path) -> str:
    """Writes the plot.

    Args:
        report: What was measured.
        path: The file to write.

    Returns:
        Its name, or "" where there is no peer to draw.
    """
    panels = {level: _ratios(level, report) for level in _LEVELS if level in report.levels}
    panels = {level: panel for level, panel in panels.items() if panel}
    if not panels:
        return ""
    precisions = [each for each in _PRECISIONS if any(each in panel for panel in panels.values())]
    bars = [max(map(_bars, panel.values())) for panel in panels.values()]
    heights = [_INCHES_A_BAR * count for count in bars]
    size = _INCHES_WIDE * len(precisions), sum(heights) + _INCHES_AROUND * (len(bars) + 1)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(bars), len(precisions), squeeze=False, sharex=True, height_ratios=heights)
    for row, count, (level, panel) in zip(axes, bars, panels.items(), strict=True):
        for column, precision in zip(row, precisions, strict=True):
            if precision not in panel:
                column.set_axis_off()
                continue
            _panel(column, panel[precision], f"{_LEVELS[level][0]}, {precision}")
            column.set_ylim(count - 1.4, -0.6)  # So that all bars of the plot are as thick.
    for column in axes[-1]:
        column.set_xlabel("times as fast as the peer", fontsize=9)
    _legend(figure, panels)
    figure.savefig(path, dpi=150)
    return path.name


def _ratios(level: str, report: Report) -> _Panel:
    results = [each for each in report.levels[level].results if any(word in each.what for word in _LEVELS[level][1])]
    ours = {(each.what, each.precision): each for each in results if each.contender == OURS}
    found: dict[str, dict[str, dict[str, Sequence[float]]]] = {}
    for each in results:
        if each.contender != OURS:
            peers = found.setdefault(each.precision, {}).setdefault(each.what, {})
            peers[each.contender] = _times_as_fast(ours[each.what, each.precision], each)
    return found


def _times_as_fast(ours: Result, theirs: Result) -> Sequence[float]:
    return theirs.over(ours) if theirs.unit in COSTS else ours.over(theirs)


def _bars(things: _Things) -> int:
    return sum(len(peers) + 1 for peers in things.values())


def _panel(axes: Any, things: _Things, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlim(0, _LIMIT)
    ticks = []
    for start, what, peers in _placed(things):
        ticks.append((start + (len(peers) - 1) / 2, what))
        for offset, (peer, ratios) in enumerate(peers.items()):
            _bar(axes, start + offset, ratios, _COLOURS[peer])
    axes.set_yticks([place for place, _ in ticks], [what for _, what in ticks])
    axes.axvline(1, color="black", linewidth=0.8)


def _placed(
    things: _Things,
) -> Iterator[tuple[int, str, Mapping[str, Sequence[float]]]]:
    start = 0
    for what, peers in things.items():
        yield start, what, peers
        start += len(peers) + 1


def _bar(axes: Any, place: float, ratios: Sequence[float], colour: str) -> None:
    median = statistics.median(ratios)
    axes.barh(place, min(median, _LIMIT), _BAR, color=colour)
    if median > _LIMIT:
        axes.text(_LIMIT * 0.98, place, f"{median:.1f}", ha="right", va="center", fontsize=7)
    else:
        axes.hlines(place, min(ratios), min(max(ratios), _LIMIT), color="black", linewidth=0.8)


def _legend(figure: Any, panels: Mapping[str, _Panel]) -> None:
    from matplotlib.patches import Patch  # pyright: ignore[reportMissingImports] only in the peers' environment

    drawn = {
        peer for panel in panels.values() for things in panel.values() for peers in things.values() for peer in peers
    }
    patches = [Patch(color=colour, label=peer) for peer, colour in _COLOURS.items() if peer in drawn]
    figure.legend(handles=patches, loc="outside upper left", ncols=4, frameon=False, fontsize=9)

"""The chart of `docs/benchmarks.md`: the speed of every contender relative to minilm-jax, by level and precision."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports] only in the environment for peers
from matplotlib.patches import Patch  # pyright: ignore[reportMissingImports] only in the environment for peers

from benchmarks.harness.results import COSTS, OURS, Report, Result

# Each level has a title, and a part that the names of its workloads contain.
_LEVELS = {
    "a": ("Kernels (texts × tokens)", "×"),
    "b": ("Throughput of encode", "texts"),
    "c": ("Latency of one sentence", "median"),
}
_PRECISIONS = ("float32", "bfloat16", "int8")

# A panel shows the relative speeds of the rounds, by contender and workload.
_Panel = Mapping[str, Mapping[str, Sequence[float]]]

# The Okabe-Ito colors can be distinguished by color-blind readers too.
_COLORS = {
    OURS: "#000000",
    "OpenVINO, latency hint": "#0072b2",
    "OpenVINO, throughput hint": "#56b4e9",
    "onnxruntime": "#e69f00",
    "onnxruntime, fused": "#f0e442",
    "CTranslate2, 1 worker": "#009e73",
    "CTranslate2, 1 worker per core": "#8fd0bb",
    "sentence-transformers": "#d55e00",
    "fastembed": "#cc79a7",
}
_BAR = 0.8
_INCHES_PER_BAR, _INCHES_AROUND, _INCHES_WIDE = 0.16, 0.6, 4.4


def draw(report: Report, path: Path) -> str:
    """Write the chart.

    Args:
        report: The results.
        path: PNG file to write.

    Returns:
        Markdown of the image, or "" if no peer was measured and nothing is written.
    """
    panels = {
        (level, precision): panel
        for level in _LEVELS
        for precision in _PRECISIONS
        if (panel := _relative_speeds(report, level, precision))
    }
    if not panels:
        return ""
    rows, columns = (list(dict.fromkeys(keys)) for keys in zip(*panels, strict=True))
    bars = [max(_bars(panel) for (level, _), panel in panels.items() if level == row) for row in rows]
    figure, axes = _figure(bars, len(columns))
    for row, level in enumerate(rows):
        for column, precision in enumerate(columns):
            if panel := panels.get((level, precision)):
                _panel(axes[row, column], panel, bars[row])
                axes[row, column].set_title(f"{_LEVELS[level][0]}, {precision}", loc="left", fontsize=10)
            else:
                axes[row, column].set_axis_off()
    figure.suptitle(f"Speed relative to minilm-jax on {_processor(report)} (longer bars are faster)", fontsize=14)
    _legend(figure, panels.values())
    figure.savefig(path, dpi=150)
    return f"![Speed of every contender relative to minilm-jax; longer bars are faster]({path.name})"


def _relative_speeds(report: Report, level: str, precision: str) -> _Panel:
    results = [
        each
        for each in (report.levels[level].results if level in report.levels else ())
        if each.precision == precision and _LEVELS[level][1] in each.workload
    ]
    ours = {each.workload: each for each in results if each.contender == OURS}
    panel: dict[str, dict[str, Sequence[float]]] = {}
    for each in results:
        panel.setdefault(each.workload, {})[each.contender] = _relative_speed(ours[each.workload], each)
    return panel if any(len(contenders) > 1 for contenders in panel.values()) else {}


def _relative_speed(ours: Result, theirs: Result) -> Sequence[float]:
    return ours.over(theirs) if theirs.unit in COSTS else theirs.over(ours)


def _bars(panel: _Panel) -> int:
    """Return the height of a panel in bars, with a gap after each workload."""
    return sum(len(contenders) + 1 for contenders in panel.values())


def _figure(bars: Sequence[int], columns: int) -> tuple[Figure, Any]:
    heights = [_INCHES_PER_BAR * count for count in bars]
    size = _INCHES_WIDE * columns, sum(heights) + _INCHES_AROUND * (len(bars) + 1)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(len(bars), columns, squeeze=False, sharex=True, height_ratios=heights)


def _panel(axes: Any, panel: _Panel, bars: int) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelbottom=True)
    axes.set_xlabel("speed relative to minilm-jax (higher is better)", fontsize=9)
    axes.set_ylim(bars - 1.4, -0.6)  # All bars of the chart have the same height.
    ticks, place = [], 0
    for contenders in panel.values():
        ticks.append(place + (len(contenders) - 1) / 2)
        for contender, speeds in contenders.items():
            axes.barh(place, statistics.median(speeds), _BAR, color=_COLORS[contender])
            axes.hlines(place, min(speeds), max(speeds), color="dimgray", linewidth=0.8)
            place += 1
        place += 1
    axes.set_yticks(ticks, list(panel))
    axes.axvline(1, color="black", linewidth=0.8)


def _processor(report: Report) -> str:
    """Return the processor and its cores, without the memory."""
    name, cores, *_ = report.machine["CPU"].split(", ")
    return f"{name}, {cores}"


def _legend(figure: Figure, panels: Iterable[_Panel]) -> None:
    drawn = {contender for panel in panels for contenders in panel.values() for contender in contenders}
    patches = [Patch(color=color, label=contender) for contender, color in _COLORS.items() if contender in drawn]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False, fontsize=9)

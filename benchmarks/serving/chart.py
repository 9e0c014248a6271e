"""The chart of `docs/serving-speed.md`: the throughput of every server."""

from pathlib import Path

from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports] only in the environment for peers

from benchmarks.harness.results import OURS
from benchmarks.serving.goals import Results
from benchmarks.serving.measuring import IN_PROCESS, LISTS, MANY, MIXED, ONE, THROUGHPUT
from benchmarks.serving.servers import INFINITY, ONNX_APP, SBERT_APP

# The Okabe-Ito colors can be distinguished by color-blind readers too.
_BARS = (
    (OURS, "int8", "#56b4e9"),
    (OURS, "float32", "#0072b2"),
    (ONNX_APP, "float32", "#e69f00"),
    (INFINITY, "float32", "#009e73"),
    (SBERT_APP, "float32", "#d55e00"),
)
_WORKLOADS = (ONE, MANY, LISTS, MIXED)


def draw(found: Results, path: Path) -> str:
    """Write the chart, and return its Markdown."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    for axes, workload in zip(figure.subplots(2, 2).flat, _WORKLOADS, strict=True):
        for place, (name, precision, color) in enumerate(_BARS):
            values = found.values(f"{workload}, {THROUGHPUT}", precision, name)
            median = sorted(values)[len(values) // 2]
            axes.barh(place, median, color=color)
            axes.hlines(place, min(values), max(values), color="dimgray", linewidth=0.8)
            axes.text(median, place, f" {median:,.0f}", va="center", fontsize=9)
        for precision, style in (("float32", "--"), ("int8", ":")):
            rate = sorted(found.values(f"{workload}, {THROUGHPUT}", precision, IN_PROCESS))
            axes.axvline(rate[len(rate) // 2], color="black", linewidth=0.8, linestyle=style)
        axes.set_yticks(range(len(_BARS)), [f"{name}, {precision}" for name, precision, _ in _BARS], fontsize=9)
        axes.invert_yaxis()
        axes.set_title(workload, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle("Texts per second (dashed: encode in process, float32; dotted: int8)", fontsize=12)
    figure.savefig(path, dpi=150)
    return f"![Texts per second of every server, for one client, 64 clients, lists and mixed texts]({path.name})"

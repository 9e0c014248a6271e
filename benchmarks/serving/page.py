"""The text and the tables of `docs/serving-speed.md`."""

import textwrap
from collections.abc import Iterator, Sequence

from benchmarks.harness.report import facts, table
from benchmarks.harness.results import OURS, Report, Result
from benchmarks.serving.goals import Results, goal_lines
from benchmarks.serving.load import RAMP_SECONDS
from benchmarks.serving.measuring import (
    CLOSED,
    HALF,
    IN_PROCESS,
    MEDIAN,
    MEMORY,
    OTHERS,
    OVERLOAD,
    P99,
    READY,
    REFUSED,
    THROUGHPUT,
)
from benchmarks.serving.servers import INFINITY, MAX_WAITING_TOKENS, ONNX_APP, SBERT_APP

LEVEL = "serving"

_CONTENDERS = (
    (OURS, "float32"),
    (OURS, "int8"),
    (INFINITY, "float32"),
    (SBERT_APP, "float32"),
    (ONNX_APP, "float32"),
    (IN_PROCESS, "float32"),
    (IN_PROCESS, "int8"),
)

_INTRODUCTION = f"""\
# Serving speed

Written by `make bench-serving`; do not edit. All servers run on one machine, and so does the load generator, wrk, which
sends the same bodies to `/v1/embeddings` of each server over loopback. Values are medians of the rounds, in which
the servers are loaded in turns, and in brackets the range of the rounds. Absolute values depend on the machine.

- minilm-jax: `minilm-jax serve --max-waiting-tokens {MAX_WAITING_TOKENS}`, in float32 and int8; otherwise the defaults.
- infinity: `infinity_emb v2 --engine torch --device cpu`, otherwise the defaults.
- {SBERT_APP}: a function with `model.encode`, on FastAPI's threads, under uvicorn.
- {ONNX_APP}: the same with onnxruntime, after its optimizer for BERT; the texts of a request are padded.
- {IN_PROCESS}: `SentenceEncoder.encode` of minilm-jax, with the same texts in one list, or one text per call."""

_CLOSED = f"""\
Each client waits for its answer before it sends the next request. A request has one text of about 15 tokens, or 32 of
them; mixed texts have 5 to 256 tokens. The first {RAMP_SECONDS} seconds are not counted for the throughput."""

_OPEN = """\
Requests with one text of about 15 tokens at a constant rate, a multiple of the throughput that the server had with 64
clients. Throughput counts answers with status 200. The other servers do not refuse requests; the load generator has
as many connections as requests per second, so their queues grow up to this number."""

_PROCESS = """\
The time from the start of the process to its first answer, with the files in the operating system's cache and, for
minilm-jax, compiled programs on disk. Memory is the resident memory after all loads."""


def render(report: Report, image: str) -> str:
    """Return the page as Markdown.

    Args:
        report: The results.
        image: Markdown of the chart, or "".
    """
    level = report.levels[LEVEL]
    found = Results(level.results)
    head = ("goal", "precision", "median [min – max]", "bound")
    parts = [
        _INTRODUCTION,
        f"## Goals\n\n{table([head, *goal_lines(found)])}",
        image,
        f"## Requests one after the other\n\n{textwrap.dedent(_CLOSED)}",
        *(f"### {workload}\n\n{table(_closed(found, workload))}" for workload in CLOSED),
        f"## Requests at a constant rate\n\n{_OPEN}",
        *(f"### {workload}\n\n{table(_open(found, workload))}" for workload in (HALF, OVERLOAD)),
        f"## Processes\n\n{_PROCESS}\n\n{table(_process(found))}",
        "## Conditions\n\n" + facts({**report.machine, **level.conditions}) + "".join(f"\n- {n}" for n in level.notes),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _closed(found: Results, workload: str) -> Iterator[Sequence[str]]:
    yield "contender", "precision", "texts/s", "median, ms", "p99, ms"
    for name, precision in _CONTENDERS:
        cells = [_cell(found.get(f"{workload}, {metric}", name, precision)) for metric in (THROUGHPUT, MEDIAN, P99)]
        yield name, precision, *cells


def _open(found: Results, workload: str) -> Iterator[Sequence[str]]:
    yield "server", "precision", "texts/s", "median, ms", "p99, ms", "answers with 429", "with others than 200 and 429"
    for name, precision in _servers():
        metrics = (THROUGHPUT, MEDIAN, P99, REFUSED, OTHERS)
        yield name, precision, *(_cell(found.get(f"{workload}, {metric}", name, precision)) for metric in metrics)


def _process(found: Results) -> Iterator[Sequence[str]]:
    yield "server", "precision", "time to the first answer, s", "memory, MB"
    for name, precision in _servers():
        memory = found.get(MEMORY, name, precision)
        yield name, precision, _cell(found.get(READY, name, precision)), f"{memory.median:,.0f}" if memory else ""


def _servers() -> Iterator[tuple[str, str]]:
    return (each for each in _CONTENDERS if each[0] != IN_PROCESS)


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    return f"{_number(result.median)} [{_number(min(result.values))} – {_number(max(result.values))}]"


def _number(value: float) -> str:
    digits = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"

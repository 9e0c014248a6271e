"""The measurements: servers in turns under several loads, and `encode` in its own process."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.cpu.contenders import MINILM_JAX
from benchmarks.harness import tasks
from benchmarks.harness.contender import ModelWorker
from benchmarks.harness.measuring import agreement, in_turns
from benchmarks.harness.results import Result
from benchmarks.serving.load import Load, Outcome, send, write_bodies
from benchmarks.serving.servers import CONSTANT, SERVERS, Running, Server
from benchmarks.texts import mixed_texts, short_texts
from minilm_jax.config import Precision

IN_PROCESS = "encode, in process"
ONE, EIGHT, MANY, LISTS, MIXED = (
    "1 client",
    "8 clients",
    "64 clients",
    "8 clients × 32 texts",
    "64 clients, mixed texts",
)
HALF, OVERLOAD = "half of the saturation", "3 × the saturation"
CLOSED = (ONE, EIGHT, MANY, LISTS, MIXED)
THROUGHPUT, MEDIAN, P99, REFUSED, OTHERS = "throughput", "median", "p99", "status 429", "other statuses"
READY, MEMORY = "time to the first answer", "memory after the load"

_SHORT_TEXTS, _MIXED_TEXTS, _CALLS = 2_048, 256, 200
_PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
_MIN_COSINE = 0.99
# After this many passes over the mixed texts, minilm-jax has replaced its programs by faster ones.
_PASSES = 8

# A contender is identified by its name and its precision.
_Key = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        folder: Folder of the model; files of the run are written next to it.
        rounds: How often each contender is measured.
        seconds: Seconds of each load.
        warm_up: Seconds of the loads before the first round.
    """

    folder: Path
    rounds: int
    seconds: int
    warm_up: int


@dataclasses.dataclass(frozen=True)
class _Field:
    """Running servers, and models in their own processes, with their work."""

    servers: Mapping[_Key, Running]
    workers: Mapping[_Key, ModelWorker]
    loads: Mapping[str, Load]
    short: Sequence[str]
    mixed: Sequence[str]


def measure(settings: Settings, notes: list[str]) -> Iterator[Result]:
    """Measure all servers.

    Args:
        settings: The settings.
        notes: Receives how well the vectors agree, and the limit of the load generator.

    Yields:
        Results with one value per round.
    """
    with _started(settings) as field:
        notes += _agreements([*field.servers.values()], field.short[: tasks.COMPARED])
        notes.append(_generator_limit(settings.folder, field.loads[MANY]))
        _warm_up(field, settings.warm_up)
        saturation: dict[_Key, float] = {}
        for result in _closed(field, settings.rounds):
            if result.workload == f"{MANY}, {THROUGHPUT}":
                saturation[result.contender, result.precision] = result.median
            yield result
        yield from _open(field, settings.rounds, saturation)
        for key, server in field.servers.items():
            yield Result(MEMORY, key[1], key[0], "MB", [server.megabytes()])
    yield from _starts(settings)


@contextlib.contextmanager
def _started(settings: Settings) -> Iterator[_Field]:
    short, mixed = short_texts(_SHORT_TEXTS), mixed_texts(_MIXED_TEXTS)
    with contextlib.ExitStack() as stack:
        servers: dict[_Key, Running] = {
            (each.name, each.precision): stack.enter_context(each.running(settings.folder)) for each in SERVERS
        }
        workers: dict[_Key, ModelWorker] = {
            (IN_PROCESS, each): stack.enter_context(MINILM_JAX.start(settings.folder, each)) for each in _PRECISIONS
        }
        yield _Field(servers, workers, _loads(settings, short, mixed), short, mixed)


def _loads(settings: Settings, short: Sequence[str], mixed: Sequence[str]) -> Mapping[str, Load]:
    folder = settings.folder.parent
    single = write_bodies(folder / "single.jsonl", short, 1)
    lists = write_bodies(folder / "lists.jsonl", short, 32)
    passages = write_bodies(folder / "mixed.jsonl", mixed, 1)
    return {
        ONE: Load(single, 1, 1, settings.seconds),
        EIGHT: Load(single, 1, 8, settings.seconds),
        MANY: Load(single, 1, 64, settings.seconds),
        LISTS: Load(lists, 32, 8, settings.seconds),
        MIXED: Load(passages, 1, 64, settings.seconds),
    }


def _at_rate(load: Load, rate: float) -> Load:
    # With a connection for each request of a second, the rate stays constant while answers take up to a second.
    return dataclasses.replace(load, rate=rate, clients=math.ceil(rate))


def _agreements(servers: Sequence[Running], texts: Sequence[str]) -> Iterator[str]:
    ours, *others = servers
    expected = np.array(ours.embed([*texts]), np.float32)
    for other in others:
        name, precision = other.server.name, other.server.precision
        found = np.array(other.embed([*texts]), np.float32)
        yield f"{name}, {precision}: {agreement(expected, found, precision, _MIN_COSINE)}"


def _generator_limit(folder: Path, load: Load) -> str:
    with CONSTANT.running(folder) as server:
        found = send(server.address, dataclasses.replace(load, seconds=3))
    return (
        f"{CONSTANT.name} from the same HTTP server: {found.texts_per_second:,.0f} answers/s to {load.clients} clients"
    )


def _warm_up(field: _Field, seconds: int) -> None:
    for server in field.servers.values():
        for load in field.loads.values():
            _turn(server, dataclasses.replace(load, seconds=seconds))()
    for worker in field.workers.values():
        worker.do(tasks.prepare)
        worker.do(tasks.warm_up, field.mixed, _PASSES)
        worker.do(tasks.warm_up, field.short)


def _closed(field: _Field, rounds: int) -> Iterator[Result]:
    for workload in CLOSED:
        texts = field.mixed if workload == MIXED else field.short
        turns = {key: _turn(each, field.loads[workload]) for key, each in field.servers.items()}
        for key, worker in field.workers.items():
            turns[key] = _one_call(worker, texts[0]) if workload == ONE else _one_list(worker, texts)
        yield from _results(workload, in_turns(turns, rounds))


def _open(field: _Field, rounds: int, saturation: Mapping[_Key, float]) -> Iterator[Result]:
    for workload, factor in ((HALF, 0.5), (OVERLOAD, 3.0)):
        turns = {
            key: _turn(server, _at_rate(field.loads[MANY], factor * saturation[key]))
            for key, server in field.servers.items()
        }
        yield from _results(workload, in_turns(turns, rounds))


def _turn(server: Running, load: Load) -> Callable[[], Outcome]:
    def turn() -> Outcome:
        found = send(server.address, load)
        _wait_until_idle(server)
        return found

    return turn


def _wait_until_idle(server: Running) -> None:
    """Wait until a server has finished the requests that a load left in its queue."""
    while True:
        with contextlib.suppress(OSError):  # Status 429 too: the queue is still full.
            server.embed(["A cat sleeps."])
            return
        time.sleep(0.1)


def _one_call(worker: ModelWorker, text: str) -> Callable[[], Outcome]:
    def turn() -> Outcome:
        median, p99 = worker.do(tasks.latency, text, _CALLS)
        return Outcome(1e3 / median, median, p99, {})

    return turn


def _one_list(worker: ModelWorker, texts: Sequence[str]) -> Callable[[], Outcome]:
    def turn() -> Outcome:
        seconds = worker.do(tasks.seconds, tasks.encode, texts)
        return Outcome(len(texts) / seconds, 1e3 * seconds, 1e3 * seconds, {})

    return turn


def _results(workload: str, found: Mapping[_Key, Sequence[Outcome]]) -> Iterator[Result]:
    for (name, precision), rounds in found.items():
        columns: dict[str, tuple[str, list[float]]] = {
            THROUGHPUT: ("texts/s", [each.texts_per_second for each in rounds])
        }
        if name != IN_PROCESS or workload == ONE:
            columns[MEDIAN] = "ms", [each.p50 for each in rounds]
            columns[P99] = "ms", [each.p99 for each in rounds]
        if name != IN_PROCESS:
            columns[REFUSED] = "answers", [each.statuses.get(429, 0) for each in rounds]
            columns[OTHERS] = (
                "answers",
                [sum(n for s, n in each.statuses.items() if s not in (200, 429)) for each in rounds],
            )
        for metric, (unit, values) in columns.items():
            yield Result(f"{workload}, {metric}", precision, name, unit, values)


def _starts(settings: Settings) -> Iterator[Result]:
    def start(server: Server) -> float:
        with server.running(settings.folder) as running:
            return running.seconds_to_ready

    turns = {each: lambda each=each: start(each) for each in SERVERS}
    for server, seconds in in_turns(turns, settings.rounds).items():
        yield Result(READY, server.precision, server.name, "s", seconds)

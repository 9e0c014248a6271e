"""Ray: the parts of a manifest are the rows of a Ray dataset, and each actor of its pool is a `ShardWorker`.

A part that Ray tries again makes the same shards under the same names, and skips those that are there.
"""

import contextlib
import dataclasses
import functools
import logging
import math
import os
import pickle
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.data

from minilm_jax.errors import MinilmJaxError
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.store import Folder
from minilm_jax.scale.worker import PartReport, ShardWorker

_RESTARTED = "a worker died and was started anew; what it had not finished is made again."


def run(job: Job, parts: Sequence[Part], workers: int) -> Iterator[PartReport]:
    """Makes the shards of parts on the Ray cluster that there is, or on a Ray of this machine alone.

    Args:
        job: What is wanted; its folder is `prepared`, and all machines see it.
        parts: The manifest, or some of it.
        workers: How many actors there are. Each has a GPU or a TPU chip, or where there is none its share of the cores.

    Yields:
        What came of each part, as it is done.

    Raises:
        MinilmJaxError: As for `ShardWorker`.
        OSError: As for `ShardWorker`.
    """
    if not parts:
        return
    rows, workers = [{"part": pickle.dumps(part)} for part in parts], min(workers, len(parts))
    with _connected():
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,  # pyright: ignore[reportArgumentType] - as Ray's documentation has it
            fn_constructor_args=(_anywhere(job),),
            # A queue at one actor would keep parts from another that is idle.
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            **_share(workers),
        )
        done.context.enable_progress_bars = False
        for row in done.iter_rows():
            outcome = pickle.loads(row["outcome"])
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


class _Actor:
    """A worker in a process of its own, which loads the model with its first part."""

    def __init__(self, job: Job) -> None:
        self._job, context = job, ray.get_runtime_context()
        self._news = [_RESTARTED] if context.was_current_actor_reconstructed else []

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            report = self._worker(pickle.loads(row["part"]))
        except (MinilmJaxError, OSError) as error:
            # As it is; Ray would wrap it in errors of its own.
            return {"outcome": pickle.dumps(error)}
        report.notes[:0], self._news = self._news, []
        return {"outcome": pickle.dumps(report)}

    @functools.cached_property
    def _worker(self) -> ShardWorker:
        self._cores = _own_cores(int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0)))
        return ShardWorker(self._job)


def _share(workers: int) -> dict[str, Any]:
    """Returns what an actor asks Ray for."""
    cluster = ray.cluster_resources()
    if "GPU" in cluster:
        return {"num_gpus": 1}
    if "TPU" in cluster:
        return {"resources": {"TPU": 1}}
    cores = [node["Resources"]["CPU"] for node in ray.nodes() if node["Alive"] and "CPU" in node["Resources"]]
    return {"num_cpus": max(1, int(min(cores)) // math.ceil(workers / len(cores)))}


def _own_cores(count: int) -> socket.socket | None:
    """Takes cores that no other actor of this machine has, as jax uses all that a process may.

    Returns:
        What holds them: a name that the kernel frees with the process, however that ends.
    """
    if not count or not hasattr(os, "sched_setaffinity"):
        return None
    cores, node = sorted(os.sched_getaffinity(0)), ray.get_runtime_context().get_node_id()
    for first in range(0, len(cores) - count + 1, count):
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0minilm-jax {node} {first}")
        except OSError:
            name.close()
            continue
        os.sched_setaffinity(0, cores[first : first + count])
        return name
    return None


def _anywhere(job: Job) -> Job:
    """Returns a job that means the same in another process's folder."""
    model = str(Path(job.model).absolute()) if Path(job.model).exists() else job.model
    return dataclasses.replace(job, out=Folder(job.out).url, model=model)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Uses the Ray that the program has joined; else joins or starts one, and leaves it at the end."""
    if ray.is_initialized():
        yield
        return
    on_sigterm = signal.getsignal(signal.SIGTERM)
    ray.init(log_to_driver=False, logging_level=logging.WARNING)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)
    try:
        yield
    finally:
        ray.shutdown()

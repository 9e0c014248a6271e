"""Ray: each part of the manifest is a row of a Ray dataset, and each actor of its pool is a `ShardWorker`.

A part that Ray retries has the same shards with the same names, and its finished shards are skipped.
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

from minilm_jax.errors import MinilmJaxError
from minilm_jax.imports import from_extra
from minilm_jax.scale.job import Job
from minilm_jax.scale.manifest import Part
from minilm_jax.scale.store import Store
from minilm_jax.scale.worker import PartReport, ShardWorker

with from_extra("ray"):
    import ray
    import ray.data

_RESTARTED = "a worker died and was restarted; its unfinished shards are rebuilt."


def run(job: Job, parts: Sequence[Part], workers: int) -> Iterator[PartReport]:
    """Write the shards of parts on a running Ray cluster, or on a local one that is started for this call.

    Args:
        job: Settings of the run; `prepare_folder` was called, and all machines can access its folder.
        parts: Parts of the manifest.
        workers: Number of actors. Each gets a GPU or a TPU chip, or on a cluster without them a part of the cores.

    Yields:
        The report of each part, as soon as it is finished.

    Raises:
        MinilmJaxError: As for `ShardWorker`.
        OSError: As for `ShardWorker`.
    """
    if not parts:
        return
    rows, workers = [{"part": pickle.dumps(part)} for part in parts], min(workers, len(parts))
    with _connected():
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,  # pyright: ignore[reportArgumentType] - a class is allowed, see Ray's documentation
            fn_constructor_args=(_with_absolute_paths(job),),
            # With a longer queue, parts could wait for a busy actor while another one is idle.
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            **_actor_resources(workers),
        )
        done.context.enable_progress_bars = False
        for row in done.iter_rows():
            outcome = pickle.loads(row["outcome"])
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


class _Actor:
    """A worker in a separate process, which loads the model when it gets its first part."""

    def __init__(self, job: Job) -> None:
        self._job, context = job, ray.get_runtime_context()
        self._notes = [_RESTARTED] if context.was_current_actor_reconstructed else []

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        try:
            report = self._worker(pickle.loads(row["part"]))
        except (MinilmJaxError, OSError) as error:
            # The error is returned, because Ray would wrap a raised one in its own error types.
            return {"outcome": pickle.dumps(error)}
        report.notes[:0], self._notes = self._notes, []
        return {"outcome": pickle.dumps(report)}

    @functools.cached_property
    def _worker(self) -> ShardWorker:
        self._claim = _claim_cores(int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0)))
        return ShardWorker(self._job)


def _actor_resources(workers: int) -> dict[str, Any]:
    """Return the resources that each actor requests from Ray."""
    cluster = ray.cluster_resources()
    if "GPU" in cluster:
        return {"num_gpus": 1}
    if "TPU" in cluster:
        return {"resources": {"TPU": 1}}
    cores = [node["Resources"]["CPU"] for node in ray.nodes() if node["Alive"] and "CPU" in node["Resources"]]
    return {"num_cpus": max(1, int(min(cores)) // math.ceil(workers / len(cores)))}


def _claim_cores(count: int) -> socket.socket | None:
    """Restrict this process to cores that no other actor on this machine uses; jax uses all cores of its process.

    Args:
        count: Number of cores.

    Returns:
        The socket that claims the cores, or None if no cores were claimed. The kernel frees its name when the process
        ends, even if it is killed.
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


def _with_absolute_paths(job: Job) -> Job:
    """Return the job with absolute paths, for processes with another working directory."""
    model = str(Path(job.model).absolute()) if Path(job.model).exists() else job.model
    return dataclasses.replace(job, out=Store(job.out).url, model=model)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """Use the program's connection to Ray; without one, connect to a running or new cluster until the block ends."""
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

"""The load: wrk sends the bodies of a file over many connections, as fast as answers arrive or at a constant rate."""

import dataclasses
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SCRIPT = Path(__file__).with_name("wrk.lua")

# No request of a benchmark waits longer.
_TIMEOUT = "60s"

# Answers are not counted in these seconds at the start, because the queue of the server still fills.
RAMP_SECONDS = 2


@dataclasses.dataclass(frozen=True)
class Load:
    """The requests of a measurement.

    Attributes:
        bodies: File with one JSON body per line.
        texts: Number of texts per body.
        clients: Number of connections; each waits for its answer before it sends the next request.
        seconds: Duration after the ramp.
        rate: Requests per second, or 0 for as many as the connections can send.
    """

    bodies: Path
    texts: int
    clients: int
    seconds: int
    rate: float = 0.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The answers to a load.

    Attributes:
        texts_per_second: Rate of the texts in answers with status 200.
        p50: Median time of an answer, in milliseconds.
        p99: 99th percentile of the time, in milliseconds.
        statuses: Number of answers by status; 0 counts connections that failed.
    """

    texts_per_second: float
    p50: float
    p99: float
    statuses: Mapping[int, int]


def send(address: str, load: Load) -> Outcome:
    """Send a load to `/v1/embeddings` of a server, and return the outcome.

    Args:
        address: Address of the server, on this machine.
        load: The requests.

    Returns:
        The rate, the times and the statuses.
    """
    duration = RAMP_SECONDS + load.seconds
    options = ["--threads", "1", "--connections", load.clients, "--duration", duration, "--timeout", _TIMEOUT]
    script = ["--script", _SCRIPT, f"{address}/v1/embeddings", "--", load.bodies, load.rate, 1_000 * RAMP_SECONDS]
    output = subprocess.run(["wrk", *map(str, [*options, *script])], check=True, capture_output=True, text=True)
    found = json.loads(output.stdout.splitlines()[-1])
    statuses = {int(status): count for status, count in found["statuses"].items()} | {0: found["unanswered"]}
    rate = load.texts * found["counted"] / load.seconds
    return Outcome(rate, found["p50"], found["p99"], {status: n for status, n in statuses.items() if n})


def write_bodies(path: Path, texts: Sequence[str], per_body: int) -> Path:
    """Write the bodies of a load; texts that do not fill the last body are left out."""
    groups = zip(*[iter(texts)] * per_body, strict=False)
    path.write_text("".join(json.dumps({"input": list(group)}) + "\n" for group in groups), "utf-8")
    return path

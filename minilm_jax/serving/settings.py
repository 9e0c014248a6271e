"""`ServerSettings`: the settings of a server."""

import dataclasses

from minilm_jax.checkpoints.cache import DEFAULT_MODEL
from minilm_jax.config import Precision


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """Settings of a server; the options of `minilm-jax serve`.

    Attributes:
        model: Name or folder of the encoder.
        reranker: Name or folder of a cross-encoder, or None.
        sparse: Name or folder of a sparse encoder, or None.
        revision: Branch, tag or commit of the encoder on the hub.
        precision: Precision of all models.
        max_seq_length: Maximum tokens per text of the encoder, or None for its own.
        host: The address to listen at.
        port: The port, or 0 for a free one.
        uds: Path of a Unix domain socket to listen at instead.
        api_keys: Keys that clients may send; without any, no key is needed.
        cors_origins: Origins whose web pages may call the server.
        max_body_bytes: Maximum size of a request.
        max_inputs: Maximum texts per request.
        max_wait_ms: Milliseconds that a request waits for others to share a batch with.
        max_waiting_tokens: Tokens that may wait; further requests get status 429.
        request_timeout: Seconds until a request that is not finished gets status 503.
        read_timeout: Seconds until a request must have arrived completely.
        grace_period: Seconds for requests in flight after SIGTERM.
        drain_delay: Seconds after SIGTERM in which requests are still accepted, while `/ready` returns 503.
        log_json: Whether log lines are JSON.
    """

    model: str = DEFAULT_MODEL
    reranker: str | None = None
    sparse: str | None = None
    revision: str | None = None
    precision: Precision = "float32"
    max_seq_length: int | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    uds: str | None = None
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 16_000_000
    max_inputs: int = 2_048
    max_wait_ms: float = 2.0
    max_waiting_tokens: int = 131_072
    request_timeout: float = 60.0
    read_timeout: float = 15.0
    grace_period: float = 30.0
    drain_delay: float = 1.0
    log_json: bool = False

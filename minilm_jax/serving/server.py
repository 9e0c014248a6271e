"""Runs a server until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import warnings
from collections.abc import Iterator
from types import FrameType

import uvicorn

from minilm_jax.errors import InputError
from minilm_jax.serving.access_log import set_up_logging
from minilm_jax.serving.app import create_app
from minilm_jax.serving.request_head import limited_protocol
from minilm_jax.serving.service import Service
from minilm_jax.serving.settings import ServerSettings

_log = logging.getLogger("minilm_jax.serving")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class _Server(uvicorn.Server):
    """uvicorn that accepts requests for a moment after SIGTERM, while `/ready` returns 503, and exits with 0.

    Attributes:
        is_ready: Whether no signal arrived.
    """

    def __init__(self, config: uvicorn.Config, drain_delay: float) -> None:
        super().__init__(config)
        self.is_ready, self._drain_delay = True, drain_delay

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals in the event loop, and do not raise them again at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the delay; at once for the second signal or Ctrl-C."""
        if self.is_ready and sig == signal.SIGTERM:
            self.is_ready = False
            asyncio.get_running_loop().call_later(self._drain_delay, setattr, self, "should_exit", True)
        else:
            self.force_exit = self.should_exit
            self.is_ready, self.should_exit = False, True


def serve(settings: ServerSettings) -> None:
    """Load the models, and answer requests until SIGTERM or Ctrl-C.

    Args:
        settings: The settings.

    Raises:
        InputError: A setting does not fit a model, or the address cannot be used.
        ModelFileError: A model cannot be loaded.
    """
    set_up_logging(as_json=settings.log_json)
    # `minilm_jax_truncated_texts_total` counts them; a warning would be shown once only.
    warnings.filterwarnings("ignore", r"\d+ of \d+ (texts|pairs) are longer")
    with _listen(settings) as listening:
        service = Service(settings)
        if not settings.api_keys and settings.uds is None and settings.host not in _LOOPBACK:
            _log.warning("anyone who reaches %s can use this server; --api-key restricts it.", settings.host)
        where = f"unix:{settings.uds}" if settings.uds else _url(*listening.getsockname()[:2])
        _log.info("serving %s at %s", ", ".join(service.names), where)
        try:
            _create_server(service).run(sockets=[listening])
        finally:
            service.close()


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _create_server(service: Service) -> _Server:
    config = uvicorn.Config(
        lambda: create_app(service, lambda: server.is_ready),
        factory=True,
        log_config=None,
        access_log=False,
        http=limited_protocol(service.settings.read_timeout),
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(service.settings.grace_period)),
    )
    server = _Server(config, service.settings.drain_delay)
    return server


@contextlib.contextmanager
def _listen(settings: ServerSettings) -> Iterator[socket.socket]:
    """Reserve the address before the models are loaded, so that a mistake shows at once."""
    family = socket.AF_UNIX if settings.uds else socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(settings.uds or (settings.host, settings.port))
    except OSError as error:
        listening.close()
        where = settings.uds or _url(settings.host, settings.port)
        raise InputError(f"cannot listen at {where} ({error.strerror}); choose another --port or --uds.") from None
    try:
        with listening:
            yield listening
    finally:
        if settings.uds:
            os.unlink(settings.uds)

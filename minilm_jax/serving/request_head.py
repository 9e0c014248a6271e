"""Limits for the head of a request, which uvicorn reads without any."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# uvicorn's other parser, h11, has this limit.
_MOST_BYTES = 65_536


def limited_protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with limits: it closes connections with a slow or large request head.

    Args:
        seconds: Seconds until the request line and all headers must have arrived.
    """

    class Limited(HttpToolsProtocol):
        """A connection; between requests, uvicorn's keep-alive timeout applies."""

        def connection_made(self, transport: Any) -> None:
            """Start the clock of the first request."""
            super().connection_made(transport)
            self._head_bytes, self._clock = 0, self._start_clock()

        def data_received(self, data: bytes) -> None:
            """Parse data, unless a head has become too large."""
            self._head_bytes += len(data)
            if self._clock is not None and self._head_bytes > _MOST_BYTES + len(data):
                self.transport.close()
            else:
                super().data_received(data)

        def on_message_begin(self) -> None:
            """Start the clock of a further request."""
            super().on_message_begin()
            self._head_bytes, self._clock = 0, self._clock or self._start_clock()

        def on_headers_complete(self) -> None:
            """Stop the clock."""
            self._stop_clock()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop the clock."""
            self._stop_clock()
            super().connection_lost(exc)

        def _start_clock(self) -> asyncio.TimerHandle:
            return self.loop.call_later(seconds, self.timeout_keep_alive_handler)

        def _stop_clock(self) -> None:
            if self._clock is not None:
                self._clock.cancel()
            self._clock = None

    return Limited

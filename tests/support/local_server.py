"""What the stand-ins for providers have in common: a server on loopback, and its handler's base."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LocalHandler(BaseHTTPRequestHandler):
    """Keeps connections open and logs nothing; the tests look at what the stand-in recorded."""

    protocol_version = "HTTP/1.1"
    # With Nagle's algorithm small writes wait for acknowledgements.
    disable_nagle_algorithm = True

    def log_message(self, template: str, *args: Any) -> None:
        """See `BaseHTTPRequestHandler.log_message`."""


@contextmanager
def serving(handler: type[LocalHandler]) -> Iterator[str]:
    """Run a server on a free port; yield the `base_url` for a client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

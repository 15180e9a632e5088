"""A server of OpenAI's completions protocol in a thread of the test, for what a real one does not do when asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]


@contextmanager
def small_server(answer: Callable[[dict[str, Any]], Reply], models: Any = None) -> Iterator[tuple[str, list[Any]]]:
    """Serve one model, ``model``; ``answer`` makes status and body of a completion. Yields address and requests."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listed = models or {"object": "list", "data": [{"id": "model", "object": "model", "owned_by": "test"}]}
            self.say(*((200, listed) if self.path == "/v1/models" else (404, {})))

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.say(*answer(asked[-1]))

        def say(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode() if not isinstance(body, bytes) else body
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if not isinstance(body, bytes) else "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()

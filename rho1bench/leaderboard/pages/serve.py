"""``rho1bench leaderboard serve``: the results folder over HTTP, on this machine only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from rho1bench.errors import DataError
from rho1bench.leaderboard.pages.build import HTML_PAGE


def serve(results: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve ``results`` on 127.0.0.1 until interrupted; raises DataError without a page or a free port."""
    if not (results / HTML_PAGE).is_file():
        raise DataError(f"{results / HTML_PAGE}: no page. `rho1bench leaderboard build` makes it.")
    handler = partial(SimpleHTTPRequestHandler, directory=str(results))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise DataError(f"port {port} cannot be used ({error.strerror}). Give another with --port.") from error
    with server, suppress(KeyboardInterrupt):
        say(f"http://127.0.0.1:{server.server_port}/{HTML_PAGE}  (Ctrl-C ends)")
        server.serve_forever()

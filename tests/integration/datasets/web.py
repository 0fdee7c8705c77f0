"""A web server of files on a free port, which can be told to fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = Callable[["Handler"], bool]
"""Answers a request itself and says True, or leaves it to the folder."""


class Web:
    """What was asked of the server, and what it does instead of sending the file."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str | None]] = []
        self.answers: dict[str, Answer] = {}

    def count(self, path: str) -> int:
        return sum(path == asked for asked, _ in self.requests)


class Handler(SimpleHTTPRequestHandler):
    """The folder's files and index pages, with ranges."""

    def __init__(self, *args: Any, web: Web, **options: Any) -> None:
        self.web = web
        super().__init__(*args, **options)

    def do_GET(self) -> None:
        self.web.requests.append((self.path, self.headers["Range"]))
        answer = self.web.answers.get(self.path.split("?")[0])
        if answer is None or not answer(self):
            super().do_GET()

    def log_message(self, *args: Any) -> None:
        """Tests print nothing."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> bool:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
        return True


@contextmanager
def serve(root: Path) -> Iterator[Web]:
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, web=web, directory=str(root)))
    web.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

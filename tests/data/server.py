"""A real HTTP server on loopback: files with ranges, and the ways in which real servers go wrong."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAUSE_SECONDS = 0.005
STAMP = "Mon, 01 Jan 2024 00:00:00 GMT"


class FileServer:
    """Serves bytes by path. `ways[path]` makes a path misbehave; `log` holds (path, Range header or None) of each request.

    Ways: "html" (a page), "truncate" (promises more than it sends, no ranges), "break:N" (breaks off after N bytes, but
    can continue), "slow-start" (503 the first time), "gone" (404), "other-range" (continues at the wrong place), "slow:N" (a pause
    of 5 ms after every N bytes).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ways: dict[str, str] = {}
        self.log: list[tuple[str, str | None]] = []
        self.drive: dict[str, bytes] = {}
        self.drive_pages: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, path: str, content: bytes, way: str = "") -> str:
        """Serves `content` at `path`; returns the URL."""
        self.files[path] = content
        if way:
            self.ways[path] = way
        return self.url + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/drive":
                    served.answer_drive(self, parse_qs(parts.query))
                else:
                    served.answer(self, parts.path)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer_drive(self, request: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
        """Like Google Drive: small files at once, large ones after a form with a hidden token, or a page on the quota."""
        file_id = query["id"][0]
        if file_id in self.drive_pages and query.get("uuid") != ["token-1"]:
            page(request, self.drive_pages[file_id])
        elif file_id in self.drive:
            self.send(request, self.drive[file_id], 0, len(self.drive[file_id]), {})
        else:
            page(request, b"<html><head><title>Google Drive - Not found</title></head></html>", 404)

    def answer(self, request: BaseHTTPRequestHandler, path: str) -> None:
        wanted = request.headers.get("Range")
        self.log.append((path, wanted))
        way = self.ways.get(path, "")
        if path not in self.files or way == "gone":
            return request.send_error(404)
        content = self.files[path]
        if way == "html":
            return page(request, content)
        if way == "slow-start":
            del self.ways[path]
            return request.send_error(503)
        if way == "truncate":
            return self.send(request, content, 0, len(content) // 2, {"Accept-Ranges": "none"}, claim=len(content))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        headers = {"Accept-Ranges": "bytes", "Last-Modified": STAMP, "ETag": '"one"'}
        if start and request.headers.get("If-Range") not in ('"one"', STAMP):
            start, wanted = 0, None
        if start >= len(content) > 0:
            return self.send(request, b"", 0, 0, {"Content-Range": f"bytes */{len(content)}"}, status=416)
        end = min(len(content), start + int(way.partition(":")[2])) if way.startswith("break") else len(content)
        if start and way == "other-range":
            headers["Content-Range"] = f"bytes {start + 1}-{len(content) - 1}/{len(content)}"
        elif start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        pieces = int(way.partition(":")[2]) if way.startswith("slow:") else 0
        return self.send(request, content, start, end, headers, claim=len(content) - start, pieces=pieces)

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler,
        content: bytes,
        start: int,
        end: int,
        headers: dict[str, str],
        claim: int | None = None,
        status: int = 200,
        pieces: int = 0,
    ) -> None:
        request.send_response(206 if start else status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/octet-stream")
        request.send_header("Content-Length", str(end - start if claim is None else claim))
        request.end_headers()
        try:
            for at in range(start, end, pieces or max(end, 1)):
                request.wfile.write(content[at : min(end, at + pieces) if pieces else end])
                time.sleep(PAUSE_SECONDS if pieces else 0)
        except ConnectionError:  # the client was killed
            request.close_connection = True
        if claim is not None and claim != end - start:
            request.close_connection = True


def page(request: BaseHTTPRequestHandler, content: bytes, status: int = 200) -> None:
    """Answers with an HTML page."""
    request.send_response(status)
    request.send_header("Content-Type", "text/html; charset=utf-8")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)

"""A hub on loopback: the requests that the Hugging Face client makes for one model repository, answered from memory."""

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub:
    """Serves revisions of a repository: `revisions` maps a branch or tag to its commit, `commits` a commit to its files."""

    def __init__(
        self, repository: str, revisions: Mapping[str, str], commits: Mapping[str, Mapping[str, bytes]]
    ) -> None:
        self.repository, self.revisions, self.commits = repository, dict(revisions), commits
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a path of the hub's API or of one of its files."""
        name, words = self.repository, unquote(urlsplit(path).path).strip("/").split("/")
        if "/".join(words[:4]) == f"api/models/{name}":
            commit = self.commit(words[5] if len(words) > 5 else "main")
            if commit is None:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
            files = self.commits[commit]
            if len(words) > 4 and words[4] == "tree":
                tree = [
                    {"type": "file", "path": file, "size": len(files[file]), "oid": _etag(files[file])}
                    for file in files
                ]
                return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
            body = {"id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        if "/".join(words[:3]) == f"{name}/resolve" and (commit := self.commit(words[3])):
            content = self.commits[commit].get("/".join(words[4:]))
            if content is None:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
            return 200, {"X-Repo-Commit": commit, "ETag": f'"{_etag(content)}"'}, content
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"

    def commit(self, revision: str) -> str | None:
        return self.revisions.get(revision, revision if revision in self.commits else None)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                served.asked.append(self.path)
                status, headers, body = served.answer(self.path)
                self.send_response(status)
                for key, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()

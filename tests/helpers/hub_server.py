"""A local server that speaks the part of the Hugging Face hub's protocol that downloads use."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secret"


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: Folders by the names of the repositories.
        private: The repositories that need the token.
        gated: The repositories whose conditions were not accepted.
        requests_seen: The method and path of every request.
        rejected: Whether the access token is not valid.
        broken: Whether downloads of weights end early.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Path] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.requests_seen: list[str] = []
        self.rejected = False
        self.broken = False

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride] narrower than in the base class
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.server.requests_seen.append(f"{self.command} {path}")
        parts = path.removeprefix("api/models/").split("/")
        repo, rest = "/".join(parts[:2]), parts[2:]
        if (failure := self._failure(repo, rest)) is not None:
            status, code = failure
            headers = {"X-Error-Code": code, "X-Error-Message": code}
            self._send(status, b"{}", headers, with_body=with_body)
        elif path.startswith("api/models/"):
            self._send_info(self.server.repositories[repo], rest, with_body=with_body)
        else:
            self._send_file(self.server.repositories[repo] / "/".join(rest[2:]), with_body=with_body)

    def _failure(self, repo: str, rest: list[str]) -> tuple[int, str] | None:
        if self.server.rejected:
            return 401, "Invalid credentials in Authorization header"
        authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo not in self.server.repositories or (repo in self.server.private and not authorized):
            return 401, "RepoNotFound"
        if repo in self.server.gated:
            return 403, "GatedRepo"
        if len(rest) > 1 and rest[1] not in ("main", "v1", COMMIT):
            return 404, "RevisionNotFound"
        if rest[:1] == ["resolve"] and not (self.server.repositories[repo] / "/".join(rest[2:])).is_file():
            return 404, "EntryNotFound"
        return None

    def _send_info(self, folder: Path, rest: list[str], *, with_body: bool) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [path.relative_to(folder).as_posix() for path in files]
        if rest[:1] == ["tree"]:
            answer: Any = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _etag(path)}
                for name, path in zip(names, files, strict=True)
            ]
        else:
            answer = {"id": "any", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"}, with_body=with_body)

    def _send_file(self, path: Path, *, with_body: bool) -> None:
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": COMMIT}
        body, is_broken = path.read_bytes(), self.server.broken and path.suffix == ".safetensors"
        self._send(200, body, headers, with_body=with_body and not is_broken)
        if with_body and is_broken:
            self.wfile.write(body[:1000])
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a server that runs in a thread."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

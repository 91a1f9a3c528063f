"""A stand-in for the Hugging Face hub on 127.0.0.1 that serves invented Parquet files and fails on demand."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

Fault = Callable[["Handler"], bool]
"""Answers a request and returns True, or returns False for the usual answer."""

SHA = "0123456789abcdef0123456789abcdef01234567"
PORTAL = b"<html><body>Please accept the terms of this network.</body></html>"


def parquet(columns: Mapping[str, list[Any]]) -> bytes:
    """Return a Parquet file with these columns."""
    import pyarrow as pa
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(dict(columns)), file)
    return file.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests for revision, tree, paths-info and resolve, as far as `datasets` needs them."""

    protocol_version = "HTTP/1.1"
    hub: ClassVar[Hub]

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing on stderr."""

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.where = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {self.where}")
        if not any(fault(self) for fault in self.hub.faults):
            self._usual()

    do_GET = do_HEAD = do_POST = _answer  # noqa: N815 - the names are the base class's

    def _usual(self) -> None:
        files = self.hub.files
        if "/resolve/" in self.where:
            name = self.where.partition("/resolve/")[2].partition("/")[2]
            name = name.removeprefix("convert/parquet/")
            self._file(files[name]) if name in files else self.send(404)
        elif "/tree/" in self.where:
            folder = self.where.partition("/tree/")[2].removeprefix("refs/convert/parquet").removeprefix(SHA)
            self.json(_listing(files, folder.strip("/")))
        elif "/paths-info/" in self.where:
            asked = json.loads(self.body)["paths"]
            self.json([entry for path in asked for entry in _entries(files, path)])
        elif self.where.startswith("/api/datasets/"):
            name = self.where.removeprefix("/api/datasets/").partition("/revision/")[0]
            self.json({"id": name, "sha": SHA, "private": False, "tags": [], "siblings": [], "downloads": 0})
        else:
            self.send(404)

    def _file(self, content: bytes) -> None:
        begin, end = 0, len(content)
        if wanted := self.headers.get("Range", "").removeprefix("bytes="):
            first, _, last = wanted.partition("-")
            begin, end = int(first), min(int(last) + 1, end) if last else end
        headers = {"ETag": f'"{_hash(content)}"', "X-Repo-Commit": SHA, "Accept-Ranges": "bytes"}
        if wanted:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
        self.send(206 if wanted else 200, content[begin:end], "application/octet-stream", headers)

    def json(self, value: Any) -> None:
        """Answer 200 with a value."""
        self.send(200, json.dumps(value).encode(), "application/json")

    def send(
        self,
        status: int,
        body: bytes = b"",
        kind: str = "text/plain",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a status and, except for HEAD, a body."""
        self.send_response(status)
        sent = {"Content-Type": kind, **(headers or {}), "Content-Length": str(len(body))}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self) -> None:
        """Reset the connection, as a failing network does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


class Hub(http.server.ThreadingHTTPServer):
    """Serves `files` (path in the repository -> content); `faults` are asked before the usual answer."""

    daemon_threads = True

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.ended = threading.Event()
        super().__init__(("127.0.0.1", 0), type("_Handler", (Handler,), {"hub": self}))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away."""

    @property
    def address(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Hub]:
    """Run a hub until the end of the block."""
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.ended.set()
        hub.shutdown()
        hub.server_close()
        thread.join()


def status(code: int, part: str = "") -> Fault:
    """Answer every request whose path contains this part with a status."""

    def fault(request: Handler) -> bool:
        if part not in request.where:
            return False
        request.send(code, b"no", headers={"Retry-After": "0"})
        return True

    return fault


def silence(part: str = "") -> Fault:
    """Accept such requests and do not answer them until the hub ends."""

    def fault(request: Handler) -> bool:
        if part not in request.where:
            return False
        request.hub.ended.wait()
        request.close_connection = True
        return True

    return fault


def portal(part: str = "", like_a_file: bool = False) -> Fault:
    """Answer such requests with the login page of a network.

    Args: like_a_file: add the headers of a file of the hub, so that its client keeps the page.
    """
    headers = {"ETag": '"portal"', "X-Repo-Commit": SHA} if like_a_file else {}

    def fault(request: Handler) -> bool:
        if part not in request.where:
            return False
        request.send(200, PORTAL, "text/html", headers)
        return True

    return fault


def broken_off(times: int) -> Fault:
    """Reset the connection halfway through the first `times` downloads."""
    left = [times]

    def fault(request: Handler) -> bool:
        if "/resolve/" not in request.where or request.command != "GET" or not left[0]:
            return False
        left[0] -= 1
        name = next(name for name in request.hub.files if request.where.endswith(name))
        content = request.hub.files[name]
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("ETag", f'"{_hash(content)}"')
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        request.reset()
        return True

    return fault


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    digest = _hash(content)
    lfs = {"oid": digest, "size": len(content), "pointerSize": 134}
    return {"type": "file", "path": path, "oid": digest[:40], "size": len(content), "lfs": lfs}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}


def _entries(files: Mapping[str, bytes], path: str) -> list[dict[str, Any]]:
    if path in files:
        return [_entry(path, files[path])]
    return [_folder(path)] if any(name.startswith(f"{path}/") for name in files) else []


def _listing(files: Mapping[str, bytes], folder: str) -> list[dict[str, Any]]:
    """The direct content of a folder, "" for the root."""
    below = f"{folder}/" if folder else ""
    names = {below + name.removeprefix(below).partition("/")[0] for name in files if name.startswith(below)}
    return [entry for name in sorted(names) for entry in _entries(files, name)]

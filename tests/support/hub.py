"""A stand-in for the Hugging Face hub on this machine, for the few requests of pushing and fetching a model."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TOKEN = "hf_of_the_stand_in"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PUSHES = re.compile(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main(\?.*)?")
READS = re.compile(r"/(?:api/models/)?([^/]+/[^/]+)(?:/(resolve|revision)/([^/]+)(?:/(.+))?)?")


class Hub(ThreadingHTTPServer):
    """The pushed files by model and name; TOKEN is needed to push and to read a private model."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.asked: list[str] = []

    def environment(self, folder: Path, token: str = "") -> dict[str, str]:
        """Return environment variables with which the hub's client talks to this server."""
        return {
            "HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}",
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": token,
            "NO_PROXY": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing on stderr."""

    @property
    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_POST(self) -> None:
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pushes = PUSHES.fullmatch(self.path)
        if self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif not self._is_known:
            self._refuse(401)
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif pushes is None or pushes[1] not in self.server.models:
            self._refuse(404, "RepoNotFound")
        elif pushes[2] == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            self._answer({"files": modes})
        else:
            self._commit(pushes[1], [json.loads(line) for line in body.splitlines()])

    def _create(self, asked: dict[str, str]) -> None:
        name = f"{asked.get('organization', 'me')}/{asked['name']}"
        self.server.models.setdefault(name, {})
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(name)
        self._answer({"url": f"http://127.0.0.1:{self.server.server_port}/{name}", "name": name})

    def _commit(self, name: str, lines: list[dict[str, dict[str, str]]]) -> None:
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.server.models[name][line["value"]["path"]] = content
        url = f"http://127.0.0.1:{self.server.server_port}/{name}/commit/{COMMIT}"
        self._answer({"commitUrl": url, "commitOid": COMMIT})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        reads = READS.fullmatch(self.path)
        name, what, revision, file = reads.groups() if reads else (None, None, None, None)
        hidden = name in self.server.private and not self._is_known
        if name not in self.server.models or hidden:
            self._refuse(404, "RepoNotFound")
        elif revision not in (None, "main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        elif what != "resolve":
            self._answer({"id": name, "sha": COMMIT, "siblings": []})
        elif file not in self.server.models[name]:
            self._refuse(404, "EntryNotFound")
        else:
            content = self.server.models[name][file]
            headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._send(200, content, headers)

    def _answer(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status: int, code: str = "") -> None:
        self._send(status, b"{}", {"X-Error-Code": code} if code else {})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """An empty hub on this machine."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()

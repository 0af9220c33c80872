"""A stand-in for the hub on this machine: those requests of its API that push and pull make.

Repositories are commits of whole files in memory. It is not a mock: `huggingface_hub` itself talks
to it over HTTP.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

REPO = r"(?P<name>[^/]+/[^/]+)"
API = rf"/api/(?P<type>model|dataset|space)s/{REPO}"


@dataclass
class Repository:
    """The commits of a repository, the last one being `main`."""

    private: bool = False
    sdk: str | None = None
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """Of the last commit."""
        return self.commits[self.head]

    def commit_of(self, revision: str) -> str | None:
        found = self.head if revision == "main" else revision
        return found if found in self.commits else None

    def commit(self, files: dict[str, bytes]) -> str:
        text = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in files.items()})
        name = hashlib.sha1(f"{self.head}{text}".encode()).hexdigest()
        self.commits[name] = files
        return name


@dataclass
class Hub:
    """All repositories, by type and name, and what is asked for."""

    address: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def run_hub() -> Iterator[Hub]:
    """A hub that serves while the block runs."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.hub.asked.append(f"POST {path}")
        if path == "/api/repos/create":
            said = json.loads(body)
            owner = said.get("organization")
            name = f"{owner}/{said['name']}" if owner else said["name"]
            key = said.get("type", "model"), name
            private = said.get("private", said.get("visibility") == "private")
            made = Repository(private, said.get("sdk"))
            self.hub.repositories.setdefault(key, made)
            self._json({"url": f"{self.hub.address}/{name}", "name": name, "id": name})
        elif path == "/api/validate-yaml":
            _, head, _ = json.loads(body)["content"].split("---\n", 2)
            yaml.safe_load(head)
            self._json({"errors": [], "warnings": []})
        elif match := re.fullmatch(rf"{API}/preupload/(?P<revision>.+)", path):
            files = json.loads(body)["files"]
            modes = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in files
            ]
            self._json({"files": modes})
        elif match := re.fullmatch(rf"{API}/commit/(?P<revision>.+)", path):
            repository = self.hub.repositories[match["type"], match["name"]]
            files = dict(repository.files)
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = repository.commit(files)
            url = f"{self.hub.address}/{match['name']}/commit/{oid}"
            self._json({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})
        else:
            self._json({"error": "not found"}, 404)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        file = re.fullmatch(
            rf"(?:/(?P<type>dataset|space)s)?/{REPO}/resolve/(?P<at>[^/]+)/(?P<file>.+)", path
        )
        if file:
            repository = self.hub.repositories.get((file["type"] or "model", file["name"]))
            commit = repository and repository.commit_of(file["at"])
            data = repository.commits[commit].get(file["file"]) if repository and commit else None
            if data is None:
                self._json({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            etag = hashlib.sha1(data).hexdigest()
            self._send(data, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": str(commit)})
        elif match := re.fullmatch(rf"{API}(?:/revision/(?P<at>[^/]+))?", path):
            repository = self.hub.repositories.get((match["type"], match["name"]))
            commit = repository and repository.commit_of(match["at"] or "main")
            if not repository or not commit:
                code = "RevisionNotFound" if repository else "RepoNotFound"
                self._json({"error": "not found"}, 404, {"X-Error-Code": code})
                return
            siblings = [
                {"rfilename": name, "size": len(data)}
                for name, data in repository.commits[commit].items()
            ]
            self._json({"id": match["name"], "sha": commit, "siblings": siblings, "tags": []})
        else:
            self._json({"error": "not found"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _json(
        self, document: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self._send(json.dumps(document).encode(), status, headers or {})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

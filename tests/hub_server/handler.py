"""The endpoints, each a short method; see the routes at the end."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from hub_server.faults import Fault
from hub_server.server import Request
from hub_server.store import Blob, Conflict, Missing, Repo, User

if TYPE_CHECKING:
    from hub_server.server import HubServer

__all__ = ["Handler"]


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class _HangUp(Exception):
    pass


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    hub: HubServer
    fault: Fault | None = None
    user: User | None = None

    def log_message(self, *_: Any) -> None:
        """Quiet; the requests are recorded instead."""

    def _handle(self) -> None:
        self.path_only = unquote(urlsplit(self.path).path)
        self.query = parse_qs(urlsplit(self.path).query)
        self.fault = self.hub.faults.next(self.command, self.path)
        try:
            if self.fault is not None and self.fault.action == "call" and self.fault.call:
                self.fault.call()
            self.body = self._read_body()
            self._answer()
        except _HangUp:
            self.close_connection = True
            self.connection.close()
        except Exception as error:
            if not isinstance(error, OSError):  # an OSError is a client that went away
                self.hub.errors.append(error)
            raise

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _read_body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if self.fault is not None and self.fault.action == "cut":
            self.rfile.read(length // 2)
            raise _HangUp
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(self._chunks())
        return self.rfile.read(length)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self) -> None:
        fault = self.fault
        if fault is not None and fault.action == "status":
            self._send(fault.status, {"error": fault.message}, dict(fault.headers))
            return
        try:
            self.user = self._who()
            for method, pattern, run in ROUTES:
                found = re.fullmatch(pattern, self.path_only)
                if found and method == self.command.replace("HEAD", "GET"):
                    given = found.groupdict()
                    run(self, **{name: value for name, value in given.items() if value})
                    return
            raise _Refused(404, f"no route {self.command} {self.path_only}")
        except Missing as error:
            self._send(404, {"error": str(error)}, {"X-Error-Code": str(error)})
        except Conflict:
            self._send(412, {"error": "A commit has happened since. Please refresh and try again."})
        except _Refused as error:
            headers = {"X-Error-Message": error.message}
            if error.code:
                headers["X-Error-Code"] = error.code
            self._send(error.status, {"error": error.message}, headers)

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        body = b"" if self.command == "HEAD" or status in (204, 304) else data
        action = None if self.fault is None else self.fault.action
        self.hub.requests.append(Request(self.command, self.path, status, len(body)))
        if action == "lost":
            raise _HangUp
        if action == "short":
            body = body[: len(body) // 2]
            given["Content-Length"] = str(len(body))
        self.send_response(status)
        for name, value in {**given, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if action == "truncate" else body)
        if action == "truncate":
            self.wfile.flush()
            raise _HangUp

    # Who may do what

    def _who(self) -> User | None:
        given = self.headers.get("Authorization", "")
        if not given:
            return None
        user = self.hub.users.get(given.removeprefix("Bearer "))
        if user is None:
            raise _Refused(401, "Invalid credentials in Authorization header")
        return user

    def _readable(self, kind: str, name: str) -> Repo:
        repo = self.hub.repos.get((kind, name))
        owner = self.user is not None and name.startswith(f"{self.user.name}/")
        if repo is None or (repo.private and not owner):
            raise _Refused(404 if self.user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _writable(self, kind: str, name: str, *, pull_request: bool = False) -> Repo:
        repo = self._readable(kind, name)
        if self.user is None:
            raise _Refused(401, "Invalid username or password.")
        if pull_request:
            return repo
        if not self.user.can_write or not name.startswith(f"{self.user.name}/"):
            raise _Refused(403, "You don't have the rights to write to this repository")
        return repo

    # Repositories

    def whoami(self) -> None:
        if self.user is None:
            raise _Refused(401, "Invalid username or password.")
        self._send(200, {"type": "user", "name": self.user.name, "orgs": [], "auth": {}})

    def create(self) -> None:
        data = json.loads(self.body)
        if self.user is None:
            raise _Refused(401, "Invalid username or password.")
        owner = data.get("organization") or self.user.name
        name, kind = f"{owner}/{data['name']}", f"{data.get('type') or 'model'}s"
        if owner != self.user.name or not self.user.can_write:
            raise _Refused(403, f'You don\'t have the rights to create a repo under "{owner}"')
        with self.hub.lock:
            exists = (kind, name) in self.hub.repos
            self.hub.create(name, kind=kind, private=data.get("visibility") == "private")
        url = f"{self.hub.url}/{kind}/{name}"
        self._send(409 if exists else 200, {"url": url, "name": name, "error": "already exists"})

    def validate_yaml(self) -> None:
        text = json.loads(self.body)["content"]
        found = re.match(r"---\n(.*?)\n---(\n|$)", text, re.DOTALL)
        try:
            yaml.safe_load(found[1] if found else "")
        except yaml.YAMLError as error:
            raise _Refused(400, f"Invalid metadata: {error}") from error
        self._send(200, {"errors": [], "warnings": []})

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        repo = self._readable(kind, name)
        commit = repo.at(revision)
        card = commit.files.get("README.md", Blob(b"")).data.decode()
        found = re.match(r"---\n(.*?)\n---", card, re.DOTALL)
        try:
            metadata = yaml.safe_load(found[1]) if found else None
        except yaml.YAMLError:
            metadata = None
        self._send(
            200,
            {
                "id": name,
                "sha": commit.sha,
                "private": repo.private,
                "tags": [],
                "siblings": [{"rfilename": path} for path in commit.files],
                "cardData": metadata if isinstance(metadata, dict) else None,
            },
        )

    def refs(self, kind: str, name: str) -> None:
        refs = self._readable(kind, name).refs
        heads = [
            {"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": sha}
            for ref, sha in refs.items()
            if not ref.startswith("refs/")
        ]
        self._send(200, {"branches": heads, "converts": [], "tags": []})

    def may_write(self, kind: str, name: str) -> None:
        self._writable(kind, name)
        self._send(200, {})

    def branch(self, kind: str, name: str, branch: str) -> None:
        start = json.loads(self.body or b"{}").get("startingPoint", "main")
        try:
            self._writable(kind, name).branch(branch, start)
        except Conflict as error:
            raise _Refused(409, "Reference already exists") from error
        self._send(200, {})

    def tree(self, kind: str, name: str, revision: str, folder: str = "") -> None:
        files = self._readable(kind, name).at(revision).files
        folder = folder.strip("/")
        inside = {p: b for p, b in files.items() if not folder or p.startswith(f"{folder}/")}
        if folder and not inside:
            raise Missing("EntryNotFound")
        entries = [blob.info(path) for path, blob in inside.items()]
        depth = folder.count("/") + 2 if folder else 1
        folders = {"/".join(p.split("/")[:depth]) for p in inside if p.count("/") >= depth}
        entries += [{"type": "directory", "path": p, "oid": "0" * 40, "size": 0} for p in folders]
        if self.query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
            entries = [e for e in entries if str(e["path"]).count("/") == depth - 1]
        self._send(200, entries)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        files = self._readable(kind, name).at(revision).files
        if "json" in self.headers.get("Content-Type", ""):
            wanted = json.loads(self.body)["paths"]
        else:
            wanted = parse_qs(self.body.decode())["paths"]
        found = [files[path].info(path) for path in wanted if path in files]
        found += [
            {"type": "directory", "path": path, "oid": "0" * 40}
            for path in wanted
            if path not in files and any(p.startswith(f"{path}/") for p in files)
        ]
        self._send(200, found)

    # Committing

    def preupload(self, kind: str, name: str, revision: str) -> None:
        repo = self._writable(kind, name, pull_request="create_pr" in self.query)
        files = repo.at(revision).files
        answers = []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            big = path.endswith(".parquet") or file["size"] > 10_000_000
            mode = "lfs" if big else "regular"
            old = files.get(path)
            oid = None if old is None else old.sha256 if old.lfs else old.oid
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._send(200, {"files": answers})

    def lfs_batch(self, name: str, kind: str = "model") -> None:
        if self.user is None:
            raise _Refused(401, "Invalid username or password.")
        self._readable(f"{kind}s", name)
        answers = []
        for item in json.loads(self.body)["objects"]:
            answer = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.objects:
                answer["actions"] = {
                    "upload": {"href": f"{self.hub.storage_url}/lfs/{item['oid']}"}
                }
            answers.append(answer)
        self._send(200, {"transfer": "basic", "objects": answers})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, "the content does not have this hash")
        self.hub.objects[oid] = self.body
        self._send(200, {})

    def commit(self, kind: str, name: str, revision: str) -> None:
        pull_request = "create_pr" in self.query
        repo = self._writable(kind, name, pull_request=pull_request)
        added: dict[str, Blob] = {}
        deleted: set[str] = set()
        header: dict[str, Any] = {}
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                header = value
            elif item["key"] == "file":
                added[value["path"]] = Blob(base64.b64decode(value["content"]))
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    raise _Refused(400, "an LFS object was not uploaded")
                added[value["path"]] = Blob(self.hub.objects[value["oid"]], lfs=True)
            elif item["key"] == "deletedFile":
                deleted.add(value["path"])
        parent = header.get("parentCommit")
        made, ref = repo.commit(revision, added, deleted, header["summary"], parent, pull_request)
        url = f"{self.hub.url}/{kind}/{name}"
        answer = {"success": True, "commitOid": made.sha, "commitUrl": f"{url}/commit/{made.sha}"}
        if pull_request:
            answer["pullRequestUrl"] = f"{url}/discussions/{ref.rsplit('/', 1)[1]}"
        self._send(200, answer)

    # Jobs

    def run_job(self, owner: str) -> None:
        """Take a job; nothing is run."""
        if self.user is None or self.user.name != owner:
            raise _Refused(401 if self.user is None else 403, "not your namespace")
        spec = json.loads(self.body)
        identity = f"job{len(self.hub.jobs)}"
        self.hub.jobs[identity] = spec
        self._send(200, self._job(identity, owner))

    def job(self, owner: str, job: str) -> None:
        if job not in self.hub.jobs:
            raise Missing("JobNotFound")
        self._send(200, self._job(job, owner))

    def _job(self, identity: str, owner: str) -> dict[str, Any]:
        spec = self.hub.jobs[identity]
        known = ("dockerImage", "command", "arguments", "environment", "flavor")
        return {
            "id": identity,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "status": {"stage": "RUNNING", "message": None},
            "owner": {"id": "1", "name": owner, "type": "user"},
            # Secrets are never told again, but for their names.
            "secrets": list(spec.get("secrets") or {}),
            **{name: spec.get(name) for name in known},
        }

    # Downloading

    def resolve(self, name: str, revision: str, path: str, kind: str = "models") -> None:
        commit, blob = self._readable(kind, name).file(revision, path)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{blob.oid}"', "Accept-Ranges": "bytes"}
        if not blob.lfs:
            self._content(blob.data, headers)
            return
        self.hub.objects.setdefault(blob.sha256, blob.data)
        headers |= {
            "X-Linked-Size": str(len(blob.data)),
            "X-Linked-ETag": f'"{blob.sha256}"',
            "Location": f"{self.hub.storage_url}/lfs/{blob.sha256}",
        }
        self._send(302, b"", headers)

    def lfs_get(self, oid: str) -> None:
        if oid not in self.hub.objects:
            raise Missing("EntryNotFound")
        self._content(self.hub.objects[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def _content(self, data: bytes, headers: dict[str, str]) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        headers["Content-Type"] = "application/octet-stream"
        if found is None:
            self._send(200, data, headers)
            return
        start = int(found[1])
        stop = min(len(data), int(found[2]) + 1 if found[2] else len(data))
        if start >= len(data):
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._send(206, data[start:stop], headers)


_API = r"/api/(?P<kind>datasets|models)/(?P<name>[\w.-]+/[\w.-]+)"
_REV = r"(?P<revision>refs/pr/\d+|refs/convert/\w+|[^/]+)"
#: The Hub's endpoints: method, path, what answers.
ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", r"/api/whoami-v2", Handler.whoami),
    ("POST", r"/api/jobs/(?P<owner>[\w.-]+)", Handler.run_job),
    ("GET", r"/api/jobs/(?P<owner>[\w.-]+)/(?P<job>\w+)", Handler.job),
    ("POST", r"/api/repos/create", Handler.create),
    ("POST", r"/api/validate-yaml", Handler.validate_yaml),
    ("GET", _API, Handler.info),
    ("GET", rf"{_API}/revision/{_REV}", Handler.info),
    ("GET", rf"{_API}/refs", Handler.refs),
    ("GET", rf"{_API}/auth-check/write", Handler.may_write),
    ("POST", rf"{_API}/branch/(?P<branch>.+)", Handler.branch),
    ("GET", rf"{_API}/tree/{_REV}(?P<folder>/.*)?", Handler.tree),
    ("POST", rf"{_API}/paths-info/{_REV}", Handler.paths_info),
    ("POST", rf"{_API}/preupload/{_REV}", Handler.preupload),
    ("POST", rf"{_API}/commit/{_REV}", Handler.commit),
    ("POST", r"/(?:(?P<kind>dataset)s/)?(?P<name>[^/]+/.+)\.git/info/lfs/objects/batch",
     Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_put),
    ("GET", r"/lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_get),
    ("GET", rf"/(?P<kind>datasets)/(?P<name>[\w.-]+/[\w.-]+)/resolve/{_REV}/(?P<path>.+)",
     Handler.resolve),
]  # fmt: skip

"""What the server keeps: users, repositories, commits and files."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Blob", "Commit", "Conflict", "Missing", "Repo", "User"]

_CLOCK = itertools.count()


class Conflict(Exception):
    """The branch does not stand at the commit that the client built on."""


class Missing(Exception):
    """A revision or file that does not exist; the argument is the Hub's error code."""


@dataclass(frozen=True)
class User:
    """Who a token belongs to."""

    name: str
    can_write: bool = True


@dataclass(frozen=True)
class Blob:
    """One file of one commit."""

    data: bytes
    lfs: bool = False

    @property
    def oid(self) -> str:
        """What git calls the file (of an LFS file: of its pointer)."""
        content = self.data
        if self.lfs:
            content = (
                "version https://git-lfs.github.com/spec/v1\n"
                f"oid sha256:{self.sha256}\nsize {len(self.data)}\n"
            ).encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def info(self, path: str) -> dict[str, object]:
        """The entry of a tree."""
        entry: dict[str, object] = {
            "type": "file",
            "path": path,
            "oid": self.oid,
            "size": len(self.data),
        }
        if self.lfs:
            entry["lfs"] = {"oid": self.sha256, "size": len(self.data), "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Commit:
    """All files as they are after one commit."""

    sha: str
    parent: str | None
    files: Mapping[str, Blob]
    message: str


@dataclass
class Repo:
    """A repository with its branches and pull requests."""

    name: str
    kind: str
    private: bool
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._add(None, {".gitattributes": Blob(b"*.parquet filter=lfs\n")}, "initial commit")

    def _add(
        self, parent: str | None, files: Mapping[str, Blob], message: str, ref: str = "main"
    ) -> Commit:
        stamp = f"{self.name} {parent} {message} {next(_CLOCK)}".encode()
        commit = Commit(hashlib.sha1(stamp).hexdigest(), parent, dict(files), message)
        self.commits[commit.sha] = commit
        self.refs[ref] = commit.sha
        return commit

    def at(self, revision: str) -> Commit:
        """The commit of a branch, of ``refs/…`` or of a SHA."""
        name = revision.removeprefix("refs/heads/")
        sha = self.refs.get(name, revision)
        if sha not in self.commits:
            raise Missing("RevisionNotFound")
        return self.commits[sha]

    def file(self, revision: str, path: str) -> tuple[Commit, Blob]:
        commit = self.at(revision)
        if path not in commit.files:
            raise Missing("EntryNotFound")
        return commit, commit.files[path]

    def branch(self, name: str, start: str) -> None:
        with self.lock:
            if name in self.refs:
                raise Conflict
            self.refs[name] = self.at(start).sha

    def commit(
        self,
        ref: str,
        added: Mapping[str, Blob],
        deleted: set[str],
        message: str,
        parent: str | None = None,
        pull_request: bool = False,
    ) -> tuple[Commit, str]:
        """Add a commit to a branch, or as a new pull request; gives the ref it went to."""
        with self.lock:
            head = self.at(ref)
            if pull_request:
                base = self.at(parent or head.sha)
                ref = f"refs/pr/{1 + sum(name.startswith('refs/pr/') for name in self.refs)}"
            elif parent is not None and parent != head.sha:
                raise Conflict
            else:
                base = head
            files = {path: blob for path, blob in base.files.items() if path not in deleted}
            return self._add(base.sha, {**files, **added}, message, ref), ref

    def log(self, ref: str = "main") -> list[Commit]:
        """The commits of a branch, the newest first."""
        found, sha = [], self.refs[ref]
        while sha:
            found.append(self.commits[sha])
            sha = found[-1].parent or ""
        return found

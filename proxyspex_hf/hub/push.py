"""Pushing: one commit with rows, queries, index, card and picture, or none at all."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from proxyspex_hf.errors import HubError, InputError, ProxySpexError, SchemaError
from proxyspex_hf.hub.card import picture_path, render_card
from proxyspex_hf.hub.entries import INDEX, HubEntry, index_row
from proxyspex_hf.hub.faults import patiently
from proxyspex_hf.hub.outbox import Outbox, Packed, pack, write_files
from proxyspex_hf.hub.repository import (
    DEFAULT_CONFIG,
    Snapshot,
    check_place,
    hub_api,
    index_path,
    newest_first,
    paths_of,
)
from proxyspex_hf.hub.tables import (
    MAX_GATHERED_GROUPS,
    MAX_ROWS,
    Allowance,
    batch_of,
    write_table,
)
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz import render_svg


@dataclass(frozen=True)
class PushResult:
    """What a push did.

    Attributes:
        repo_id: the data set.
        ids: of all explanations given, in their order.
        added: of those that were new; empty where the repository had them all, and then no
            commit was made.
        revision: commit that now holds them.
        url: of that commit, or of the pull request.

    Example:
        >>> explanation.push_to_hub("me/explanations").repo_id
        'me/explanations'
    """

    repo_id: str
    ids: tuple[str, ...]
    added: tuple[str, ...]
    revision: str
    url: str


@dataclass(frozen=True)
class _Push:
    """The arguments of one push, checked."""

    api: HfApi
    repo_id: str
    config: str
    revision: str | None
    private: bool | None
    create_pr: bool
    message: str | None
    more: Mapping[str, bytes]


def push(
    records: Sequence[ExplanationRecord],
    repo_id: str,
    *,
    config_name: str = DEFAULT_CONFIG,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
    keep: bool = True,
    more: Mapping[str, bytes] | None = None,
) -> PushResult:
    """Add explanations to a data set on the Hub, which is made if there is none.

    Arguments and errors as :meth:`proxyspex_hf.InteractionExplanation.push_to_hub`.

    Args:
        keep: leave what could not be pushed on the disk, to send it again; False where the disk is
            not that of the person who pushes.
    """
    if not records and not more:
        raise InputError("there is nothing to push: the list of explanations is empty.")
    check_place(repo_id, config_name, revision)
    how = _Push(
        api=hub_api(token),
        repo_id=repo_id,
        config=config_name,
        revision=revision,
        private=private,
        create_pr=bool(create_pr),
        message=commit_message,
        more=more or {},
    )
    packed = pack(records)
    outbox = Outbox(packed, how.config)
    try:
        result = patiently(lambda: _attempt(how, packed, outbox), how.repo_id, "push to")
    except BaseException as error:
        if not keep:
            outbox.discard()
        elif packed:
            if isinstance(error, _CollectionFullError):
                how = replace(how, config=_next_config(how.config))
            _tell_what_is_kept(error, how, outbox.keep())
        raise
    outbox.remove()
    return result


def _tell_what_is_kept(error: BaseException, how: _Push, folder: Path) -> None:
    """Say it where the error is shown: in the message of ours, beside what else ends a push, such
    as Ctrl-C.

    Raises:
        ProxySpexError: ours, saying so.
    """
    look = "Look whether the pull request was made; if not, " if how.create_pr else ""
    kept = (
        f"Nothing is lost: what was to be pushed is kept in {folder}. {look}"
        f"`{_again(how, folder)}` sends it again."
    )
    if isinstance(error, ProxySpexError):
        raise type(error)(f"{error} {kept}") from error
    error.add_note(kept)


def _again(how: _Push, folder: Path) -> str:
    """The command that repeats a push."""
    words = ["proxyspex-hf", "push", str(folder), how.repo_id]
    if how.config != DEFAULT_CONFIG:
        words += ["--config-name", how.config]
    if how.revision is not None:
        words += ["--revision", how.revision]
    words += ["--private"] if how.private else []
    words += ["--create-pr"] if how.create_pr else []
    return shlex.join(words)


def _attempt(how: _Push, packed: Sequence[Packed], outbox: Outbox) -> PushResult:
    """One try. Safe to repeat: it begins with what the repository holds by then."""
    snapshot = _opened(
        how.api, how.repo_id, how.revision, private=how.private, create_pr=how.create_pr
    )
    before = snapshot.entries(how.config) if packed else []
    known = {entry.id for entry in before}
    ids = tuple(item.entry.id for item in packed)
    new = [item for item in packed if item.entry.id not in known]
    if new:
        count = len(known) + len({item.entry.id for item in new})
        _refuse_too_many(how, count, len(snapshot.files(how.config)))
    more = [
        CommitOperationAdd(path, data)
        for path, data in how.more.items()
        if path not in snapshot.sizes
    ]
    if not new and not more:
        url = f"{how.api.endpoint}/datasets/{how.repo_id}/commit/{snapshot.sha}"
        return PushResult(how.repo_id, ids, (), snapshot.sha, url)
    with tempfile.TemporaryDirectory(prefix="proxyspex_hf-") as name:
        folder, files = Path(name), outbox.folder
        added = outbox.entries
        if len(new) < len(packed):  # some are there already: only the others travel
            files = folder
            added = write_files(files, how.config, new)
        if new:
            more += _data(files, how.config, added)
            more += _derived(how, snapshot, [*before, *added], new, folder)
        else:
            added = []
        commit = partial(
            how.api.create_commit,
            how.repo_id,
            more,
            repo_type="dataset",
            commit_message=how.message or _message(len(added)),
            revision=how.revision,
            parent_commit=snapshot.sha,
            create_pr=how.create_pr,
        )
        # A pull request whose answer was lost cannot be told from one that was not made: asking
        # again might make a second. A commit can, by what the branch then holds.
        done = patiently(commit, how.repo_id, "push to", again=False) if how.create_pr else commit()
    url = str(done.pr_url or done.commit_url)
    return PushResult(how.repo_id, ids, tuple(entry.id for entry in added), str(done.oid), url)


class _CollectionFullError(InputError):
    """What is pushed must go to another collection."""


def _refuse_too_many(how: _Push, count: int, files: int) -> None:
    """Refuse what would make a collection that no reader takes, or whose index, once lost, could
    not be gathered again.

    Raises:
        InputError: it would.
    """
    if count > MAX_ROWS:
        what, most = f"{count:,} explanations", MAX_ROWS
    elif files >= MAX_GATHERED_GROUPS:
        what, most = f"more than {files:,} files", MAX_GATHERED_GROUPS
    else:
        return
    raise _CollectionFullError(
        f"{how.repo_id} would have {what} in {how.config!r}; at most {most:,} are read of one "
        "collection. Nothing was pushed: give another config_name, such as "
        f"{_next_config(how.config)!r}."
    )


def _next_config(name: str) -> str:
    """A collection's name with the next number: ``french-2`` after ``french``."""
    base, _, number = name.rpartition("-")
    if base and re.fullmatch("[1-9][0-9]{0,5}", number):
        return f"{base}-{int(number) + 1}"
    return f"{name[:60]}-2"


def _message(count: int) -> str:
    return f"Add {count} explanation{'' if count == 1 else 's'}"


def ready_for_writing(
    api: HfApi, repo_id: str, revision: str | None, *, private: bool | None
) -> Snapshot:
    """The repository as it is, made first where there is none; the same for a branch. Who may not
    write there is told so now, before anything is computed to be pushed.

    Raises:
        HfHubHTTPError: the Hub refuses.
        HubError: it is public, and was to be private.
    """
    snapshot = _opened(api, repo_id, revision, private=private, create_pr=False)
    try:
        api.auth_check(repo_id, repo_type="dataset", write=True)
    except HfHubHTTPError as error:
        # A server without this question; the repository itself was there a moment ago.
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise
    return snapshot


def _opened(
    api: HfApi, repo_id: str, revision: str | None, *, private: bool | None, create_pr: bool
) -> Snapshot:
    """The repository as it is, made first where there is none; the same for a branch."""
    try:
        snapshot = Snapshot(api, repo_id, revision)
    except RevisionNotFoundError:
        if create_pr or revision is None or revision.startswith("refs/"):
            raise
        api.create_branch(repo_id, branch=revision, repo_type="dataset", exist_ok=True)
        snapshot = Snapshot(api, repo_id, revision)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, repo_type="dataset", exist_ok=True)
        with suppress(RevisionNotFoundError):
            return Snapshot(api, repo_id, revision)
        # Now it exists, the branch does not.
        return _opened(api, repo_id, revision, private=private, create_pr=create_pr)
    if private and not snapshot.private:
        raise HubError(
            f"{repo_id} exists and is public, but private=True was asked for. Make it private "
            "in its settings, or choose another repo_id."
        )
    return snapshot


def _data(files: Path, config: str, added: Sequence[HubEntry]) -> list[CommitOperationAdd]:
    names = sorted({entry.file for entry in added})
    paths = [path for name in names for path in paths_of(config, name)]
    return [CommitOperationAdd(path, files / path) for path in paths]


def _derived(
    how: _Push,
    snapshot: Snapshot,
    held: Sequence[HubEntry],
    new: Sequence[Packed],
    folder: Path,
) -> list[CommitOperationAdd]:
    """Index, picture and card: what follows from the rows, which ``held`` are all of."""
    entries = newest_first(held)
    index = folder / "index.parquet"
    write_table(index, [batch_of(index_row(entry), INDEX) for entry in entries])
    shown = max(new, key=lambda item: (item.entry.created, item.entry.id))
    names = {*snapshot.configs(), how.config}
    order = sorted(names, key=lambda name: (name != DEFAULT_CONFIG, name))
    collections = {
        name: entries if name == how.config else _listed(snapshot, name) for name in order
    }
    card = render_card(
        snapshot.readme(),
        how.repo_id,
        collections,
        [name for name in order if name == how.config or picture_path(name) in snapshot.sizes],
    )
    return [
        CommitOperationAdd(index_path(how.config), index),
        CommitOperationAdd(picture_path(how.config), render_svg(shown.record).encode()),
        CommitOperationAdd("README.md", card.encode()),
    ]


def _listed(snapshot: Snapshot, name: str) -> list[HubEntry] | None:
    """A collection beside that of a push, for the card; None of one that cannot be listed, or not
    quickly, which must not stop this push."""
    try:
        return snapshot.entries(name, Allowance())
    except SchemaError:
        return None

"""Many explanations to and from the Hub at once: one commit, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.given import as_explanations
from proxyspex_hf.hub.outbox import read_folder
from proxyspex_hf.hub.pull import pull
from proxyspex_hf.hub.push import PushResult, push
from proxyspex_hf.hub.repository import DEFAULT_CONFIG


def push_explanations(
    explanations: Iterable[InteractionExplanation],
    repo_id: str,
    *,
    config_name: str = "explanations",
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
    token: str | bool | None = None,
) -> PushResult:
    """Add explanations to a data set on the Hub, in one commit or not at all.

    What is there already is not pushed again.

    Args:
        explanations: any number of them, also of different models.
        repo_id: ``"owner/name"`` of the data set; made if there is none.
        config_name: name of the collection within it, a configuration of the data set.
        private: whether a new data set is private; default as the owner's account has it.
        revision: branch to push to, made if there is none; default ``main``.
        create_pr: propose the change as a pull request instead.
        commit_message: default says how many were added.
        token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The ids of all, and of those that were new.

    Raises:
        HubError: the Hub could not be reached or refused; what was to be pushed is kept on disk.
        InputError: something else than explanations, or none.

    Example:
        >>> pushed = push_explanations([explanation], "me/explanations")
        >>> push_explanations([explanation], "me/explanations").added  # it is there already
        ()
    """
    return push(
        [item.record for item in as_explanations(explanations)],
        repo_id,
        config_name=config_name,
        private=private,
        revision=revision,
        create_pr=create_pr,
        commit_message=commit_message,
        token=token,
    )


def pull_explanations(
    repo_id: str,
    ids: Sequence[str] | None = None,
    *,
    config_name: str = "explanations",
    revision: str | None = None,
    token: str | bool | None = None,
) -> Iterator[InteractionExplanation]:
    """Read explanations from the Hub one after the other, so that any number fits into memory.

    Args:
        repo_id: ``"owner/name"`` of the data set.
        ids: those to read, by their ids or at least the first six digits of them; default all. They
            come in the order of the files that hold them, each once, whatever the order here.
        config_name: name of the collection within it.
        revision: branch, tag or commit.
        token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

    Raises:
        HubError: the Hub could not be reached or refused.
        InputError: no such id.
        SchemaError: a file is damaged, altered, or of a newer version.

    Example:
        >>> pushed = push_explanations([explanation], "me/explanations")
        >>> [pulled.text[:20] for pulled in pull_explanations("me/explanations")]
        ['It is not a bad film']
    """
    records = pull(repo_id, ids, config_name=config_name, revision=revision, token=token)
    return (InteractionExplanation(record) for record in records)


def read_explanations(place: str | Path) -> list[InteractionExplanation]:
    """The explanation of a file that ``save`` wrote, or those of a folder: one that a push left
    behind, or a copy of a repository.

    Raises:
        InputError: nothing there that can be read.
        SchemaError: a file is not an explanation, is damaged, or of a newer version.
    """
    return [explanation for _, explanation in read_collected(place)]


def read_collected(place: str | Path) -> list[tuple[str, InteractionExplanation]]:
    """The same, each with the name of the collection that it lies in; of a file, the default."""
    if Path(place).is_dir():
        return [(name, InteractionExplanation(record)) for name, record in read_folder(place)]
    return [(DEFAULT_CONFIG, InteractionExplanation.load(place))]

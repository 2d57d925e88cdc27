"""What an explanation can do with the Hub; the Hub's code is loaded at the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from proxyspex_hf.record.record import ExplanationRecord

if TYPE_CHECKING:
    from proxyspex_hf.hub.entries import HubEntry
    from proxyspex_hf.hub.push import PushResult


class HubVerbs:
    """The verbs that every Hugging Face user knows, for whatever wraps one record."""

    def __init__(self, record: ExplanationRecord) -> None:
        self._record = record

    @property
    def record(self) -> ExplanationRecord:
        """The plain data underneath."""
        return self._record

    def push_to_hub(
        self,
        repo_id: str,
        *,
        config_name: str = "explanations",
        private: bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str | None = None,
        token: str | bool | None = None,
    ) -> PushResult:
        """Add this explanation to a data set on the Hub, which is made if there is none.

        Spectrum, queries and card go in one commit; what the repository holds stays. An
        explanation that is there already is not pushed again. For many, see
        :func:`proxyspex_hf.push_explanations`.

        Args:
            repo_id: ``"owner/name"`` of the data set.
            config_name: name of the collection within it, a configuration of the data set.
            private: whether a new data set is private; default as the owner's account has it.
            revision: branch to push to, made if there is none; default ``main``.
            create_pr: propose the change as a pull request instead.
            commit_message: default says how many were added.
            token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

        Raises:
            HubError: the Hub could not be reached or refused; the message says what to do, and
                where the explanation lies until then.
            InputError: a name that the Hub does not allow.
        """
        from proxyspex_hf.hub.push import push

        return push(
            [self.record],
            repo_id,
            config_name=config_name,
            private=private,
            revision=revision,
            create_pr=create_pr,
            commit_message=commit_message,
            token=token,
        )

    @classmethod
    def from_hub(
        cls,
        repo_id: str,
        id: str | None = None,  # noqa: A002  the column's name
        *,
        config_name: str = "explanations",
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> Self:
        """Read one explanation from the Hub; of a large repository, only its part is read.

        Args:
            repo_id: ``"owner/name"`` of the data set.
            id: the explanation's id, or its first six digits or more; may be left out where the
                repository holds only one.
            config_name: name of the collection within it.
            revision: branch, tag or commit.
            token: access token; default the one of ``hf auth login`` or ``HF_TOKEN``.

        Raises:
            HubError: the Hub could not be reached or refused.
            InputError: no such id, or several explanations and no id.
            SchemaError: the file is damaged, altered, or of a newer version.
        """
        from proxyspex_hf.hub.pull import pull_one

        return cls(pull_one(repo_id, id, config_name=config_name, revision=revision, token=token))

    @staticmethod
    def list_hub(
        repo_id: str,
        *,
        config_name: str = "explanations",
        revision: str | None = None,
        token: str | bool | None = None,
    ) -> list[HubEntry]:
        """What a data set on the Hub holds, the newest first; arguments as :meth:`from_hub`."""
        from proxyspex_hf.hub.pull import listing

        return listing(repo_id, config_name=config_name, revision=revision, token=token)

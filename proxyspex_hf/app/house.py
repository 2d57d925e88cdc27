"""What the open pages of one app share: room, and turns."""

from __future__ import annotations

from dataclasses import dataclass

from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.kept import Kept
from proxyspex_hf.app.presence import Presence
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.app.turns import Turns
from proxyspex_hf.app.underway import Underway
from proxyspex_hf.app.uploads import Uploads


@dataclass(frozen=True)
class House:
    """One for each running app.

    Attributes:
        folders: where the pages keep their answers.
        uploads: where their files lie.
        presence: which of them are open.
        turns: whose explanation is made next.
        kept: what was explained, for reload and Back.
        underway: the runs, apart from the pages that watch them.
    """

    folders: Folders
    uploads: Uploads
    presence: Presence
    turns: Turns
    kept: Kept
    underway: Underway

    @classmethod
    def of(cls, settings: Settings, folders: Folders) -> House:
        """An empty one."""
        # On the user's own machine all tabs are of one person, who may use both places.
        alone = settings.account == "machine"
        turns = Turns(each=16, each_runs=2) if alone else Turns()
        uploads = Uploads(folders.uploads, settings.limits.upload_bytes)
        presence, kept = Presence(), Kept()
        underway = Underway(folders, presence, turns, kept, away=settings.limits.away)
        return cls(folders, uploads, presence, turns, kept, underway)

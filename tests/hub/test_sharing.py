"""What one person pushes, another pulls: whole, once, and beside what was there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer

from proxyspex_hf import (
    HubError,
    InputError,
    InteractionExplanation,
    pull_explanations,
    push_explanations,
)
from proxyspex_hf.hub.rows import content_id

REPO = "me/explanations"


def test_what_is_pushed_is_pulled(hub: HubServer, review: InteractionExplanation) -> None:
    done = review.push_to_hub(REPO)
    assert done.added == done.ids == (content_id(review.record),)
    assert done.url == f"{hub.url}/datasets/{REPO}/commit/{done.revision}"
    pulled = InteractionExplanation.from_hub(REPO)
    assert pulled == review
    np.testing.assert_array_equal(pulled.record.queries.values, review.record.queries.values)
    assert pulled.record.provenance.created == review.record.provenance.created
    assert pulled.record.provenance.seconds == review.record.provenance.seconds
    assert pulled.to_html() == review.to_html()


def test_an_image_comes_back_pixel_for_pixel(
    hub: HubServer, captioned: InteractionExplanation
) -> None:
    captioned.push_to_hub(REPO)
    pulled = InteractionExplanation.from_hub(REPO)
    assert pulled == captioned
    assert pulled.record.picture == captioned.record.picture
    assert pulled.record.provenance.noise_floor == 0.25


def test_one_commit_holds_everything(
    hub: HubServer, several: list[InteractionExplanation], outbox: Path
) -> None:
    push_explanations(several, REPO, commit_message="five of them")
    commits = hub.repo(REPO).log()
    assert [commit.message for commit in commits] == ["five of them", "initial commit"]
    assert sorted(re.sub(r"[0-9a-f]{16}", "*", path) for path in commits[0].files) == [
        ".gitattributes",
        "README.md",
        "explanations/*.parquet",
        "index/explanations.parquet",
        "index/explanations.svg",
        "queries/*.parquet",
    ]
    assert list(outbox.iterdir()) == []
    assert list(pull_explanations(REPO)) == sorted(several, key=lambda e: content_id(e.record))


def test_adding_keeps_what_is_there(hub: HubServer, several: list[InteractionExplanation]) -> None:
    push_explanations(several[:2], REPO)
    before = hub.files(REPO)
    done = push_explanations(several[1:4], REPO)
    assert set(done.added) == {content_id(e.record) for e in several[2:4]}
    after = hub.files(REPO)
    data = [path for path in before if path.startswith(("explanations/", "queries/"))]
    assert all(after[path] == before[path] for path in data)
    assert len(list(pull_explanations(REPO))) == 4
    assert len(InteractionExplanation.list_hub(REPO)) == 4


def test_the_same_again_changes_nothing(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    first = push_explanations(several, REPO)
    again = push_explanations([*several, several[0]], REPO)
    assert again.added == ()
    assert again.ids[:5] == first.ids
    assert again.revision == first.revision
    assert len(hub.repo(REPO).log()) == 2
    # An equal one that was made at another time is the same.
    record = several[0].record
    later = replace(record.provenance, created="2027-01-01T00:00:00+00:00", seconds={})
    equal = InteractionExplanation(replace(record, provenance=later))
    assert equal.push_to_hub(REPO).added == ()


def test_a_listing_needs_no_spectrum(
    hub: HubServer, review: InteractionExplanation, several: list[InteractionExplanation]
) -> None:
    push_explanations([*several, review], REPO)
    start = len(hub.requests)
    entries = InteractionExplanation.list_hub(REPO)
    asked = [request.path for request in hub.requests[start:]]
    assert [p for p in asked if re.search(r"/resolve/\w+/(explanations|queries)/", p)] == []
    entry = next(e for e in entries if e.id == content_id(review.record))
    top = review.top(3)
    assert entry.strongest == tuple((" × ".join(i.labels), i.effect) for i in top)
    assert dict(entry.faithfulness) == review.faithfulness
    assert (entry.n_features, entry.n_queries) == (len(review.features), len(review.record.queries))
    assert review.text.startswith(entry.text)


def test_ids_may_be_short_and_must_be_there(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    done = push_explanations(several, REPO)
    assert InteractionExplanation.from_hub(REPO, done.ids[2][:8]) == several[2]
    picked = list(pull_explanations(REPO, [done.ids[4], done.ids[0][:10], done.ids[4]]))
    assert len(picked) == 2
    assert all(e in (several[0], several[4]) for e in picked)
    with pytest.raises(InputError, match=r"holds 5 explanations: pass id="):
        InteractionExplanation.from_hub(REPO)
    with pytest.raises(InputError, match="no explanation whose id begins with 'ffffffff'"):
        InteractionExplanation.from_hub(REPO, "ffffffff")
    with pytest.raises(InputError, match="6 to 32 hexadecimal digits, got 'ab'"):
        InteractionExplanation.from_hub(REPO, "ab")
    with pytest.raises(InputError, match="ids must be a list"):
        pull_explanations(REPO, done.ids[0])


def test_collections_lie_side_by_side(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    several[0].push_to_hub(REPO)
    several[1].push_to_hub(REPO, config_name="french")
    assert InteractionExplanation.from_hub(REPO) == several[0]
    assert InteractionExplanation.from_hub(REPO, config_name="french") == several[1]
    card = hub.files(REPO)["README.md"].decode()
    assert "## The explanations in `french`" in card
    with pytest.raises(InputError, match="config_name= explanations, french"):
        InteractionExplanation.from_hub(REPO, config_name="dutch")
    for name in ("queries", "index", "a/b", "../x", "x_queries", ""):
        with pytest.raises(InputError, match="config_name must be"):
            several[0].push_to_hub(REPO, config_name=name)


def test_branches_and_old_commits_are_read(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    first = several[0].push_to_hub(REPO)
    several[1].push_to_hub(REPO, revision="draft")
    assert len(InteractionExplanation.list_hub(REPO)) == 1
    assert len(InteractionExplanation.list_hub(REPO, revision="draft")) == 2
    several[2].push_to_hub(REPO)
    assert InteractionExplanation.from_hub(REPO, revision=first.revision) == several[0]
    with pytest.raises(HubError, match=r"revision does not exist\. Change revision="):
        InteractionExplanation.from_hub(REPO, revision="nowhere")


def test_a_pull_request_leaves_the_branch_alone(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    several[0].push_to_hub(REPO)
    # A reader of somebody else's data may propose, though not push.
    with pytest.raises(HubError, match=r"may not write there.*create_pr=True"):
        several[1].push_to_hub(REPO, token="hf_you")
    done = several[1].push_to_hub(REPO, token="hf_you", create_pr=True)
    assert done.url == f"{hub.url}/datasets/{REPO}/discussions/1"
    assert len(InteractionExplanation.list_hub(REPO)) == 1
    assert len(InteractionExplanation.list_hub(REPO, revision="refs/pr/1")) == 2


def test_private_is_private(hub: HubServer, several: list[InteractionExplanation]) -> None:
    several[0].push_to_hub(REPO, private=True)
    assert hub.repo(REPO).private
    assert InteractionExplanation.from_hub(REPO) == several[0]
    for token in ("hf_you", False):
        with pytest.raises(HubError, match=r"no such data set|no valid token"):
            InteractionExplanation.from_hub(REPO, token=token)
    several[0].push_to_hub("me/open")
    with pytest.raises(HubError, match="is public, but private=True was asked for"):
        several[1].push_to_hub("me/open", private=True)
    assert len(InteractionExplanation.list_hub("me/open")) == 1


def test_a_repository_without_an_index_is_read_all_the_same(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    push_explanations(several[:3], REPO)
    files = hub.files(REPO)
    data = {p: c for p, c in files.items() if p.startswith(("explanations/", "queries/"))}
    hub.put("you/copy", {path: c for path, c in data.items() if path.startswith("explanations/")})
    with pytest.raises(InputError, match="holds no explanations"):
        InteractionExplanation.list_hub("you/copy")  # without queries, they are none
    hub.put("you/whole", data)
    listed = InteractionExplanation.list_hub("you/whole")
    assert listed == InteractionExplanation.list_hub(REPO)
    assert len(list(pull_explanations("you/whole"))) == 3


def test_arguments_that_cannot_be_used(
    hub: HubServer, several: list[InteractionExplanation], outbox: Path
) -> None:
    for name in ("explanations", "a/b/c", 7):
        with pytest.raises(InputError, match="repo_id must be 'owner/name'"):
            several[0].push_to_hub(name)  # type: ignore[arg-type]
    for name in ("me/bad..name", "me/", "me/it ", "me/it.git"):
        with pytest.raises(InputError, match="not a name on the Hub"):
            several[0].push_to_hub(name)
    for name in ("explanations", None):
        with pytest.raises(InputError, match="repo_id must be 'owner/name'"):
            InteractionExplanation.list_hub(name)  # type: ignore[arg-type]
    for revision in ("", "..", "a b", 5):
        with pytest.raises(InputError, match="revision must be a branch, tag or commit"):
            several[0].push_to_hub(REPO, revision=revision)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="revision must be a branch, tag or commit"):
            InteractionExplanation.list_hub(REPO, revision=revision)  # type: ignore[arg-type]
    for config in ("queries", "README.md", "a_queries", ""):
        with pytest.raises(InputError, match="config_name must be"):
            several[0].push_to_hub(REPO, config_name=config)
    with pytest.raises(InputError, match="nothing to push"):
        push_explanations([], REPO)
    with pytest.raises(InputError, match="got an ExplanationRecord"):
        push_explanations([several[0].record], REPO)  # type: ignore[list-item]
    assert hub.repos == {}
    assert not outbox.exists()  # nothing waits there to be sent to where it cannot go


@pytest.mark.parametrize("token", ["hf_secret\n", "", "hf_gehe\u00efm", 7])
def test_what_cannot_be_a_token_is_refused_and_not_told(
    token: Any, hub: HubServer, several: list[InteractionExplanation]
) -> None:
    """A file's last line break is read with the token."""
    for act in (several[0].push_to_hub, InteractionExplanation.list_hub):
        with pytest.raises(InputError, match=r"token (is empty|has spaces|must be)") as caught:
            act(REPO, token=token)
        assert "secret" not in str(caught.value)
    assert hub.requests == []

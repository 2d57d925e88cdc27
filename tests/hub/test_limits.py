"""Collections as large as a reader takes: what would cross the limit is refused before it is sent,
and one that has crossed it leaves the others usable."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from hub_server import HubServer

from proxyspex_hf import (
    InputError,
    InteractionExplanation,
    SchemaError,
    hub_summary,
    pull_explanations,
    push_explanations,
)
from proxyspex_hf.app.folders import Folders
from proxyspex_hf.app.models import Models
from proxyspex_hf.app.page import build
from proxyspex_hf.app.settings import Settings
from proxyspex_hf.cli.main import main
from proxyspex_hf.hub import push, repository, summaries, tables

REPO = "me/explanations"
INDEX = "index/explanations.parquet"


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Sets a limit wherever it is looked at."""

    def set_to(name: str, value: int) -> None:
        for module in (tables, repository, push, summaries):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)

    return set_to


def test_a_push_beyond_the_limit_is_refused_before_its_commit(
    hub: HubServer,
    several: list[InteractionExplanation],
    limit: Callable[[str, int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit("MAX_ROWS", 3)
    push_explanations(several[:3], REPO)
    commits = len(hub.repo(REPO).log())
    said = r"would have 4 explanations in 'explanations'; at most 3 .*such as 'explanations-2'"
    with pytest.raises(InputError, match=said) as caught:
        push_explanations(several[2:4], REPO)  # one of them is there already
    assert len(hub.repo(REPO).log()) == commits
    assert len(InteractionExplanation.list_hub(REPO)) == 3
    command = shlex.split(str(caught.value).split("`")[1])
    assert command[-2:] == ["--config-name", "explanations-2"]
    assert main(command[1:]) == 0
    assert "2 added" in capsys.readouterr().out
    assert len(InteractionExplanation.list_hub(REPO, config_name="explanations-2")) == 2
    with pytest.raises(InputError, match="such as 'explanations-3'"):
        push_explanations(several[:2], REPO, config_name="explanations-2")
    # What it holds already may be pushed again.
    assert push_explanations(several[:3], REPO).added == ()


def test_a_push_of_more_files_than_can_be_gathered_is_refused(
    hub: HubServer, several: list[InteractionExplanation], limit: Callable[[str, int], None]
) -> None:
    limit("MAX_GATHERED_GROUPS", 2)
    for explanation in several[:2]:
        explanation.push_to_hub(REPO)
    with pytest.raises(InputError, match=r"more than 2 files .*such as 'explanations-2'"):
        several[2].push_to_hub(REPO)
    hub.repo(REPO).commit("main", {}, {INDEX}, "delete it")
    assert len(InteractionExplanation.list_hub(REPO)) == 2


@pytest.mark.parametrize("indexed", [True, False])
def test_a_collection_beyond_the_limit_leaves_others_usable(
    indexed: bool,
    hub: HubServer,
    several: list[InteractionExplanation],
    limit: Callable[[str, int], None],
) -> None:
    push_explanations(several[:2], REPO)
    push_explanations(several[2:4], REPO)
    if not indexed:
        hub.repo(REPO).commit("main", {}, {INDEX}, "delete it")
    limit("MAX_ROWS", 3)
    for read in (
        lambda: InteractionExplanation.list_hub(REPO),
        lambda: pull_explanations(REPO),
        lambda: several[4].push_to_hub(REPO),
    ):
        with pytest.raises(SchemaError, match=r"more than 3 explanations in 'explanations'") as at:
            read()
        assert "the next push makes it anew" not in str(at.value)
    several[4].push_to_hub(REPO, config_name="more")
    assert list(pull_explanations(REPO, config_name="more")) == [several[4]]
    card = hub.files(REPO)["README.md"].decode()
    first, second = card.split("## The explanations in `more`")
    assert "They could not be listed when this card was written." in first
    assert "| id | input |" in second
    assert f'from_hub("{REPO}", id="' in card
    assert 'config_name="more")' in card
    assert card.count("config_name: explanations\n") == 1  # `datasets` opens it as before


def test_pushes_of_one_explanation_each_can_be_gathered_and_summarized(
    hub: HubServer, several: list[InteractionExplanation], limit: Callable[[str, int], None]
) -> None:
    limit("MAX_LISTED_GROUPS", 2)
    for explanation in several[:4]:
        explanation.push_to_hub(REPO)
    assert hub_summary(REPO).recurring[0].total == 4
    hub.repo(REPO).commit("main", {}, {INDEX}, "delete it")
    assert len(InteractionExplanation.list_hub(REPO)) == 4
    several[4].push_to_hub(REPO)
    assert INDEX in hub.files(REPO)
    limit("MAX_GATHERED_GROUPS", 4)
    assert len(InteractionExplanation.list_hub(REPO)) == 5  # of the index, which is one
    hub.repo(REPO).commit("main", {}, {INDEX}, "delete it")
    with pytest.raises(SchemaError, match="more row groups than are read for a listing"):
        InteractionExplanation.list_hub(REPO)


def test_a_click_gathers_less(
    hub: HubServer, several: list[InteractionExplanation], limit: Callable[[str, int], None]
) -> None:
    limit("MAX_LISTED_GROUPS", 2)
    for explanation in several[:4]:
        explanation.push_to_hub(REPO)
    hub.repo(REPO).commit("main", {}, {INDEX}, "delete it")
    demo = build(Settings(Models()), folders := Folders())
    handlers = {getattr(fn.fn, "__name__", ""): fn.fn for fn in demo.fns.values() if fn.fn}
    asked = (REPO, "explanations", "", None)
    _, listed = handlers["look"](*asked)
    _, recurred = handlers["recur"](*asked)
    for news in (listed, recurred):
        assert "more row groups than are read for a listing" in news
    assert len(InteractionExplanation.list_hub(REPO)) == 4  # whoever runs it may wait
    folders.close()


def test_hundreds_of_row_groups_are_no_reason_to_refuse() -> None:
    allowance = tables.Allowance(groups=tables.MAX_GATHERED_GROUPS)
    for _ in range(tables.MAX_GATHERED_GROUPS):
        allowance.enter(1, "a")
        allowance.spend(2_000, "a")
    with pytest.raises(SchemaError, match="a has more row groups"):
        allowance.enter(1, "a")

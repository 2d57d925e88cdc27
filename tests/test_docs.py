"""README and docs: every code block runs, every command is one, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from hub_server.clients import environment_for, point_to
from inference_server import InferenceServer
from tiny_pipelines import generator

from proxyspex_hf import InteractionExplainer, ProxySpexError
from proxyspex_hf.cli.main import _parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
#: The namespace that a reader of any other page is assumed to have.
START = "docs/quickstart.md"
OWN_TEST = ("README.md", START, "docs/served.md", "docs/data-sets.md")


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL)


def commands(page: str, program: str) -> list[list[str]]:
    """What follows ``$ program``, or stands in an indented line that begins with it."""
    found = re.findall(rf"^(?:\$ |    \$ |    ){program} (.*)$", TEXTS[page], re.MULTILINE)
    return [shlex.split(line, comments=True) for line in found]


def run(page: str, names: dict[str, Any], **replaced: str) -> dict[str, Any]:
    for number, block in enumerate(blocks(page)):
        for old, new in replaced.items():
            block = block.replace(old, new)
        exec(compile(block, f"{page} block {number}", "exec"), names)
    return names


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the quick start leaves."""
    home = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        names = run(START, {})
    assert (home / "explanation.html").stat().st_size > 10_000
    assert (home / "explanation.svg").read_text(encoding="utf-8").startswith("<svg")
    return names


def test_the_readme_is_short_and_runs_as_the_quick_start_does() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 200
    readme, quick = blocks("README.md"), blocks(START)
    assert readme == quick[:1]


def test_the_quick_start_says_what_it_finds(start: dict[str, Any]) -> None:
    ((words, number),) = re.findall(r"# (“dull”.*) ([\d.]+)$", TEXTS[START], re.MULTILINE)
    strongest = start["explanation"].top(1)[0]
    assert strongest.sentence.startswith(words)
    assert abs(strongest.effect) == pytest.approx(float(number), abs=0.05)
    assert "R²" in str(start["explanation"])


def test_the_page_on_reading_shows_what_print_gives(start: dict[str, Any]) -> None:
    """Its numbers may differ in the last digit from machine to machine; its words may not."""
    (shown,) = re.findall(r"^```text\n(.*?)^```$", TEXTS["docs/howto/reading.md"], re.M | re.S)
    printed = str(start["explanation"])

    def words(text: str) -> list[str]:
        return re.sub(r"[-+±░█\d.]+", " ", text).split()

    for paragraph in shown.strip().split("\n\n"):
        for line in paragraph.splitlines():
            assert words(line) in [words(each) for each in printed.splitlines()], line
    (value, *_) = re.findall(r"[+-][\d.]+", shown)
    assert shown.startswith(start["explanation"].label)
    assert float(value) == pytest.approx(start["explanation"].value, abs=0.01)


def test_the_page_on_reading_says_what_the_model_does_without_two_words(
    start: dict[str, Any],
) -> None:
    page = TEXTS["docs/howto/reading.md"]
    (number,) = re.findall(r"the score falls by ([\d.]+)$", page, re.M)
    function = start["explainer"].value_function(start["explanation"].record.text)
    mask = np.ones((2, function.n_features), bool)
    mask[1, [9, 11]] = False
    assert [function.features.labels[i] for i in (9, 11)] == ["dull", "never"]
    whole, without = function(mask)
    assert whole - without == pytest.approx(float(number), abs=0.01)


def test_the_page_on_problems_quotes_what_is_said(start: dict[str, Any]) -> None:
    """Each message as it comes, with what differs from case to case left open."""
    explainer, text = start["explainer"], start["explanation"].record.text
    of_masks = InteractionExplainer(lambda masks: masks.sum(axis=1), progress=False)
    broken = InteractionExplainer(lambda masks: np.full(len(masks), np.nan), progress=False)
    failing = [
        lambda: InteractionExplainer(start["pipe"].model),
        lambda: explainer(text, budget=5),
        lambda: explainer(text, alpha=2, budget=30),
        lambda: explainer(text, budget="auto"),
        lambda: explainer(text, target="X"),
        lambda: explainer(text, max_new_tokens=3),
        lambda: broken(6),
        lambda: of_masks(6, cache_dir="answers"),
    ]
    page = TEXTS["docs/howto/problems.md"]
    quoted = re.findall(r"^\| `(.*?)`", page[: page.index("## It takes too long")], re.M)
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "proxyspex_hf").rglob("*.py"))
    sources = re.sub(r'"\s*f?"', "", sources)
    patterns = {
        message: re.escape(message).replace("…", ".*").replace(r"\ n\ ", r"\ \d+\ ")
        for message in quoted
    }
    for fails in failing:
        with pytest.raises(ProxySpexError) as raised:
            fails()
        said = str(raised.value)
        (message,) = [m for m, pattern in patterns.items() if re.match(pattern, said)]
        del patterns[message]
    assert len(patterns) == 4
    for message in patterns:  # what cannot be had here stands in the code at least
        longest = max(re.split(r"…|\[", message), key=len).strip()
        assert longest in sources, message


@pytest.fixture
def names(
    start: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """The quick start's names, a language model of the reader's (a tiny one), and a Hub."""
    monkeypatch.chdir(tmp_path)
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, tmp_path / "home")
        yield {**start, "llm": generator(), "hub": hub}


@pytest.mark.parametrize(
    "page", [page for page in TEXTS if page not in OWN_TEST and "```python" in TEXTS[page]]
)
def test_a_page_runs(page: str, names: dict[str, Any]) -> None:
    hub = names.pop("hub")
    run(page, names)
    if page == "docs/howto/share.md":
        assert len(hub.repo("me/explanations").log()) == 3
        assert len(names["everything"]) == 2
    else:
        assert not hub.repos
    if page == "docs/howto/core.md":
        truth = {(): 0.1, (1,): -0.3, (0, 2): 0.5}
        found = names["fit"].spectrum.to_dict()
        assert all(abs(found[members] - value) < 0.02 for members, value in truth.items())


def test_the_page_on_served_models_runs(tmp_path: Path) -> None:
    pipe = generator()
    pipe.tokenizer.save_pretrained(tmp_path / "tokenizer")
    tokenizer = str(tmp_path / "tokenizer")
    with InferenceServer(pipe, "vllm", name="my-model") as server:
        address = {"http://host:8000/v1": server.url, "me/my-model": tokenizer}
        names = run("docs/served.md", {}, **address)
        assert server.url in names["explanation"].record.provenance.device
        assert names["found"].noise < 1e-5


@pytest.mark.parametrize("page", TEXTS)
def test_the_commands_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands(page, "make"):
        assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE), words
    for words in commands(page, "python"):
        assert (ROOT / words[0]).exists(), words
    for words in commands(page, "proxyspex-hf"):
        assert _parser().parse_args(words).run


def test_commands_are_found() -> None:
    assert len(commands("docs/howto/app.md", "proxyspex-hf")) >= 12
    assert len(commands("docs/served.md", "proxyspex-hf")) == 2
    assert len(commands("docs/figures.md", "python")) >= 10
    assert commands("README.md", "make") == [["demo"], ["test"]]


@pytest.mark.parametrize("page", TEXTS)
def test_linked_files_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", TEXTS[page]):
        assert ((ROOT / page).parent / target).exists(), target


@pytest.mark.filterwarnings("ignore:'HfApi.run_uv_job' is experimental")
def test_the_page_on_data_sets_runs_and_its_jobs_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with HubServer() as hub:
        hub.add_user("hf_me", "me")
        point_to(hub, monkeypatch, tmp_path / "home")
        names = run("docs/data-sets.md", {})
        assert (names["run"].known, names["run"].failed) == (1, 1)
        assert names["job"].id == "job0"
        ((words, *more),) = [commands("docs/data-sets.md", "hf")]
        assert not more
        done = subprocess.run(
            [sys.executable, "-m", "huggingface_hub.cli.hf", *_detached(words)],
            env=environment_for(hub, tmp_path / "home"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        for job in hub.jobs.values():
            _check_job(job)
        assert len(hub.jobs) == 2
        assert not hub.repos  # nothing was uploaded


def _detached(words: list[str]) -> list[str]:
    """The same without waiting for the job's end; what follows the script is its own."""
    place = words.index("run") + 1
    return [*words[:place], "--detach", *words[place:]]


def _check_job(job: dict[str, Any]) -> None:
    """A job that runs the package's command, with the token as a secret, three times at most."""
    line = [*job["command"], *job.get("arguments", [])]
    assert line[:2] == ["uv", "run"]
    own = line[line.index("proxyspex-hf") + 1 :]
    assert own[0] == "explain-dataset"
    given = _parser().parse_args(own)
    assert (given.push, given.column, given.model) == ("me/explanations", "text", "me/my-model")
    assert any(word.startswith("proxyspex-hf[hub]") for word in line)
    assert "datasets" in line[: line.index("explain-dataset")]  # what reads me/reviews
    assert job["secrets"] == {"HF_TOKEN": "hf_me"}
    assert "hf_me" not in str({**job, "secrets": None})
    assert job["flavor"] == "a10g-small"
    assert job["timeoutSeconds"] == 6 * 3600
    assert job["attempts"] == 3

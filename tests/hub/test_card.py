"""The card: what it says, what it keeps, and what no stranger's text can do to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hub_server import HubServer
from record_factory import make_record

from proxyspex_hf import HubError, InteractionExplanation, push_explanations
from proxyspex_hf.hub.card import BEGIN, END, literal
from proxyspex_hf.hub.front_matter import join, split, with_keys
from proxyspex_hf.record.record import ExplanationRecord, Target

REPO = "me/explanations"


def card_of(hub: HubServer) -> tuple[dict[str, object], str]:
    front, body = split(hub.files(REPO)["README.md"].decode())
    return yaml.safe_load(front), body


def test_it_says_what_is_inside(hub: HubServer, review: InteractionExplanation) -> None:
    done = review.push_to_hub(REPO)
    data, body = card_of(hub)
    assert data["task_categories"] == ["text-classification"]
    assert data["models"] == ["acme/distil-sentiment"]
    assert data["size_categories"] == ["n<1K"]
    assert {"proxyspex", "explainability"} <= set(data["tags"])  # type: ignore[call-overload]
    assert data["configs"] == [
        {
            "config_name": "explanations",
            "data_files": [{"split": "train", "path": "explanations/*.parquet"}],
            "default": True,
        },
        {
            "config_name": "queries",
            "data_files": [{"split": "train", "path": "queries/*.parquet"}],
        },
    ]
    assert "1 explanation of what models answered" in body
    assert ("[`acme/distil-sentiment`](https://huggingface.co/acme/distil-sentiment) (1)") in body
    row = next(line for line in body.splitlines() if line.startswith(f"| `{done.ids[0][:8]}`"))
    assert "`POSITIVE` of `acme/distil-sentiment`" in row
    assert "`not × bad` +0.92, `bad` −0.78" in row
    assert "0.87, 0.62 (fair near the input)" in row
    assert f'from_hub("{REPO}", id="{done.ids[0][:8]}")' in body
    assert f'load_dataset("{REPO}", "queries", split="train")' in body
    assert "2505.17495" in body
    assert "(index/explanations.svg)" in body
    for column in ("coefficients", "quantization", "noise_floor", "masks", "densities"):
        assert f"| `{column}` |" in body


def test_what_a_person_wrote_stays(hub: HubServer, several: list[InteractionExplanation]) -> None:
    front = (
        "# reviewed in May\n"
        "license: cc-by-4.0   # as the texts\n"
        "tags:\n- films\n"
        "configs:\n- config_name: mine\n  data_files: mine.csv\n"
        "pretty_name: Why?\n"
    )
    hub.put(REPO, {"README.md": join(front, "# My films\n\nRead me *first*.\n").encode()})
    several[0].push_to_hub(REPO)
    text = hub.files(REPO)["README.md"].decode()
    assert "# reviewed in May\nlicense: cc-by-4.0   # as the texts\ntags:\n- films\n" in text
    data, body = card_of(hub)
    assert data["tags"][0] == "films"  # type: ignore[index]
    assert data["pretty_name"] == "Why?"
    names = [config["config_name"] for config in data["configs"]]  # type: ignore[attr-defined]
    assert names == ["mine", "explanations", "queries"]
    assert body.startswith("# My films\n\nRead me *first*.\n")
    edited = text.replace("Read me *first*.", "Read *this* first.") + "\nAsk me anything.\n"
    hub.put(REPO, {"README.md": edited.encode()})
    several[1].push_to_hub(REPO)
    _, body = card_of(hub)
    assert body.startswith("# My films\n\nRead *this* first.\n")
    assert body.endswith("\nAsk me anything.\n")
    assert body.count(BEGIN) == body.count(END) == 1
    assert "2 explanations of what models answered" in body


def test_metadata_that_is_no_yaml_stops_the_push(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    hub.put(REPO, {"README.md": b"---\ntags: [a\n---\n"})
    with pytest.raises(HubError, match=r"README.md is not YAML.*Correct it.*Nothing is lost"):
        several[0].push_to_hub(REPO)
    hub.put(REPO, {"README.md": b"---\n- a\n---\n"})
    with pytest.raises(HubError, match="must be YAML keys and values, it is list"):
        several[0].push_to_hub(REPO)
    assert "explanations" not in "".join(hub.files(REPO))


def test_the_newest_come_first_and_many_are_cut(hub: HubServer) -> None:
    records = [
        make_record(f"good film {i}", provenance={"created": f"2026-01-{i + 1:02}T00:00:00"})
        for i in range(27)
    ]
    push_explanations([InteractionExplanation(record) for record in records], REPO)
    _, body = card_of(hub)
    rows = [line for line in body.splitlines() if "`good film" in line]
    assert [row.split("`")[3] for row in rows] == [f"good film {i}" for i in range(26, 1, -1)]
    assert "The 25 newest of 27." in body


EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "` | [x](https://evil.example) | `",
    "``` \n# Heading\n```",
    "a\n\n# Heading\n\n| x |\n---\n",
    "\\` \\| \\",
    "https://evil.example www.evil.example @someone $x$",
    f"{END}\n# after\n{BEGIN}",
    "--> <!-- </details>",
    "\x1b[31m \u202e \x00",
]


def evil_record(text: str) -> ExplanationRecord:
    safe = "good film"
    record = make_record(safe + " " + text.replace("\x00", " "))
    return replace(
        record,
        target=Target(text, 0, "logit", text),
        provenance=replace(record.provenance, model=text, revision=text, notes=(text,)),
        task=text,
    )


@pytest.mark.parametrize("text", EVIL)
def test_a_strangers_text_is_only_text(text: str, hub: HubServer) -> None:
    from markdown_it import MarkdownIt

    plain = InteractionExplanation(make_record("good film is it"))
    plain.push_to_hub(REPO)
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table")

    def skeleton() -> list[str]:
        """Every token of the card but the words, and the table's body row by row."""
        tokens = parser.parse(card_of(hub)[1])
        out = []
        for token in tokens:
            if token.type == "inline":
                inner = [child.type for child in token.children or ()]
                out += [kind for kind in inner if kind not in ("text", "code_inline", "softbreak")]
            out.append(token.type + token.tag)
        return out

    before = skeleton()
    row = before[before.index("tbody_opentbody") + 1 : before.index("tbody_closetbody")]
    InteractionExplanation(evil_record(text)).push_to_hub(REPO)
    again = InteractionExplanation(make_record("bad film is it"))
    again.push_to_hub(REPO)  # the card is found again between its markers
    after = skeleton()
    start = after.index("tbody_opentbody") + 1
    assert after[start : start + 3 * len(row)] == 3 * row
    assert after[:start] == before[:start]
    assert after[start + 3 * len(row) :] == before[start + len(row) :]
    data, body = card_of(hub)
    assert data["models"] == ["acme/distil-sentiment"]
    assert body.rstrip().endswith(END)
    picture = hub.files(REPO)["index/explanations.svg"].decode()
    assert "<script" not in picture


def test_literals_are_one_code_span() -> None:
    assert literal("a `b` | c\n d") == "`a ˋbˋ ¦ c d`"
    assert literal("x" * 100, 10) == "`xxxxxxxxx…`"
    assert literal("\x1b[31m") == "`\\x1b[31m`"


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("", "tags:\n- a\n"),
        ("tags: [b, c] # mine\nlicense: mit\n", "tags:\n- a\nlicense: mit\n"),
        ("x: 1\ntags:\n  - b\n\n  - c\ny: 2\n", None),
        ('"tags": b\n# end\n', "tags:\n- a\n# end\n"),
        ("{tags: b, license: mit}\n", None),
        ("tags: |\n  b\n  c\nz: >\n  tags: no\n", "tags:\n- a\nz: >\n  tags: no\n"),
        ("tags:\n- a\n# kept\n", "tags:\n- a\n# kept\n"),
    ],
)
def test_only_our_lines_of_the_metadata_change(front: str, expected: str | None) -> None:
    out = with_keys(front, {"tags": ["a"]})
    before = yaml.safe_load(front) or {}
    assert yaml.safe_load(out) == {**before, "tags": ["a"]}
    if expected is not None:
        assert out == expected

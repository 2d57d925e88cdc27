"""The data set's card: made again at each push, around what a person wrote.

Everything untrusted (inputs, labels, names) stands in code spans, whose content no
Markdown renderer interprets; see :func:`literal`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

from proxyspex_hf.errors import HubError
from proxyspex_hf.hub import front_matter
from proxyspex_hf.hub.entries import HubEntry
from proxyspex_hf.hub.repository import DEFAULT_CONFIG, queries_config
from proxyspex_hf.hub.schema import EXPLANATIONS, QUERIES, field_table
from proxyspex_hf.viz.wording import listed_effects, r2_text, verdict, visible

BEGIN = "<!-- proxyspex_hf: written anew at each push from here -->"
END = "<!-- proxyspex_hf: to here; what you write outside stays -->"

_ROWS = 25
_TAGS = ("proxyspex", "explainability", "interpretability", "feature-interactions")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
#: Task names that the Hub knows as categories of data sets.
_CATEGORIES = {
    "feature-extraction",
    "fill-mask",
    "image-classification",
    "image-text-to-text",
    "question-answering",
    "text-classification",
    "text-generation",
    "token-classification",
    "visual-question-answering",
    "zero-shot-classification",
    "zero-shot-image-classification",
}
_SIZES = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6))


def picture_path(config: str) -> str:
    """Where the picture of a collection lies."""
    return f"index/{config}.svg"


def render_card(
    old: str | None,
    repo_id: str,
    collections: Mapping[str, Sequence[HubEntry] | None],
    pictured: Collection[str],
) -> str:
    """The whole README.md.

    Args:
        old: the card as it is, None if there is none; everything outside our markers is kept.
        collections: the explanations by configuration, the newest first; None where they could
            not be listed.
        pictured: the configurations that have a picture.

    Raises:
        HubError: the old card's metadata is not YAML, or not what it should be.
    """
    old = old or ""
    lines = old.count("\n")
    windows = lines > 0 and old.count("\r\n") == lines
    front, body = front_matter.split(old.replace("\r\n", "\n") if windows else old)
    front = front_matter.with_keys(front, _metadata(front_matter.parsed(front), collections))
    ours = f"{BEGIN}\n{_body(repo_id, collections, pictured)}\n{END}"
    # The last end: an input that holds our marker's text stands before it.
    start, stop = body.find(BEGIN), body.rfind(END)
    if 0 <= start < stop:
        body = body[:start] + ours + body[stop + len(END) :]
    elif body.strip():
        body = f"{body.rstrip()}\n\n{ours}\n"
    else:
        body = f"\n# {_title(repo_id)}\n\n{ours}\n"
    card = front_matter.join(front, body)
    return card.replace("\n", "\r\n") if windows else card


def _title(repo_id: str) -> str:
    return f"Explanations: {repo_id.split('/')[-1]}"


def _metadata(
    before: Mapping[str, Any], collections: Mapping[str, Sequence[HubEntry] | None]
) -> dict[str, Any]:
    entries = [entry for found in collections.values() for entry in found or ()]
    ours = [_config(folder) for name in collections for folder in _folders(name)]
    chosen = [c.get("config_name") for c in _list(before, "configs") if c.get("default")]
    for config in ours:
        if config["config_name"] == (chosen or [ours[0]["config_name"]])[0]:
            config["default"] = True
    named = {config["config_name"] for config in ours}
    theirs = [c for c in _list(before, "configs") if c.get("config_name") not in named]
    tasks = sorted({entry.task for entry in entries} & _CATEGORIES)
    models = sorted({entry.model for entry in entries if _HUB_ID.fullmatch(entry.model)})
    sizes = [name for name, most in _SIZES if len(entries) < most]
    values: dict[str, Any] = {
        "tags": _union(before, "tags", _TAGS),
        "task_categories": _union(before, "task_categories", tasks),
        "models": _union(before, "models", models),
        "size_categories": sizes[:1] or ["n>1T"],
        "configs": [*theirs, *ours],
    }
    return {name: value for name, value in values.items() if value}


def _folders(config: str) -> tuple[str, str]:
    return config, queries_config(config)


def _config(folder: str) -> dict[str, Any]:
    return {
        "config_name": folder,
        "data_files": [{"split": "train", "path": f"{folder}/*.parquet"}],
    }


def _list(data: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = data.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise _unknown(name, "a list of mappings", found)
    return found


def _union(data: Mapping[str, Any], name: str, ours: Sequence[str]) -> list[Any]:
    before = data.get(name)
    if before is not None and not isinstance(before, (str, list)):
        raise _unknown(name, "a text or a list of texts", before)
    theirs = before if isinstance(before, list) else [] if before is None else [before]
    return [*theirs, *(item for item in ours if item not in theirs)]


def _unknown(name: str, expected: str, found: Any) -> HubError:
    return HubError(
        f"{name} in the metadata of the repository's README.md must be {expected}, it is "
        f"{type(found).__name__}. Correct it on the Hub, then push again."
    )


def literal(text: str, most: int = 80) -> str:
    """Untrusted text as a code span that nothing in it can end or leave.

    Line breaks and control characters are spelled out; backticks and vertical bars, which would
    end the span or the table's cell, become look-alikes.
    """
    shown = visible(text)
    if len(shown) > most:
        shown = shown[: most - 1] + "…"
    return f"`{shown.translate({ord('`'): 'ˋ', ord('|'): '¦'})}`"


def _body(
    repo_id: str,
    collections: Mapping[str, Sequence[HubEntry] | None],
    pictured: Collection[str],
) -> str:
    entries = [entry for found in collections.values() for entry in found or ()]
    parts = [_summary(entries)]
    for name, found in collections.items():
        parts.append(_collection(name, found, name in pictured, alone=len(collections) == 1))
    first = next((name for name, found in collections.items() if found), next(iter(collections)))
    parts += [_loading(repo_id, first, entries), _fields(), _end()]
    return "\n\n".join(parts)


def _summary(entries: Sequence[HubEntry]) -> str:
    def counted(values: list[str], shown: Callable[[str], str]) -> str:
        common = Counter(values).most_common(6)
        named = [f"{shown(name)} ({count})" for name, count in common]
        more = len(set(values)) - len(common)
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")

    kinds = sorted({entry.feature_kind for entry in entries})
    noun = "explanation" if len(entries) == 1 else "explanations"
    return (
        f"{len(entries):,} {noun} of what models answered: which of their inputs' "
        f"{', '.join(map(literal, kinds))}, alone and in combination, made them say that. Made "
        "with ProxySPEX.\n\n"
        f"- Models: {counted([entry.model for entry in entries], _linked)}\n"
        f"- Tasks: {counted([entry.task for entry in entries], literal)}"
    )


def _linked(model: str) -> str:
    """A model's name, as a link where it is one on the Hub."""
    name = literal(model)
    return f"[{name}](https://huggingface.co/{model})" if _HUB_ID.fullmatch(model) else name


def _collection(
    name: str, entries: Sequence[HubEntry] | None, pictured: bool, *, alone: bool
) -> str:
    head = "## The explanations" if alone else f"## The explanations in `{name}`"
    lines = [head, ""]
    if pictured:
        lines += [
            f"![The largest effects of one of them, as bars]({picture_path(name)})",
            "",
        ]
    if entries is None:
        return "\n".join([*lines, "They could not be listed when this card was written."])
    lines += [
        "| id | input | output | largest effects | R² at density 0.5, 0.9 |",
        "|---|---|---|---|---|",
        *(_row(entry) for entry in entries[:_ROWS]),
    ]
    if len(entries) > _ROWS:
        lines += ["", f"The {_ROWS} newest of {len(entries):,}."]
    lines += [
        "",
        "The effect of a feature is what the output loses when it is taken out of the whole input; "
        "of a combination, what its members do there only together. Effects whose 90% interval "
        "holds zero are left out. R² is of masks that the fit had not seen: 0.5 keeps half of the "
        "features, 0.9 is near the actual input.",
    ]
    return "\n".join(lines)


def _row(entry: HubEntry) -> str:
    strongest = listed_effects(entry.strongest, lambda words: literal(words, 40))
    strongest = strongest or "none told from zero"
    scores = dict(entry.faithfulness)
    measured = [scores.get(0.5), scores.get(0.9)]
    trust = ", ".join(r2_text(r2) for r2 in measured) + f" ({verdict(measured[1])} near the input)"
    text = literal(entry.text, 60) if entry.text.strip() else "(no text)"
    return (
        f"| `{entry.id[:8]}` | {text} | {literal(entry.target, 30)} of {literal(entry.model, 40)} "
        f"| {strongest} | {trust} |"
    )


def _loading(repo_id: str, config: str, entries: Sequence[HubEntry]) -> str:
    example = entries[0].id[:8] if entries else "…"
    more = "" if config == DEFAULT_CONFIG else f', config_name="{config}"'
    return f"""\
## How to load them

With `pip install "proxyspex-hf[hub]"`, for every index, removal sets, the page and other fits, \
all without the model:

```python
from proxyspex_hf import InteractionExplanation

explanation = InteractionExplanation.from_hub("{repo_id}", id="{example}"{more})
print(explanation, explanation.refit(proxy="lasso"))
```

Without it, as plain tables:

```python
from datasets import load_dataset

explanations = load_dataset("{repo_id}", "{config}", split="train")
queries = load_dataset("{repo_id}", "{queries_config(config)}", split="train")
```

The masks of one row: `numpy.unpackbits(numpy.frombuffer(row["masks"], "uint8").reshape(\
len(row["values"]), -1), axis=1, count=row["n_features"])`."""


def _fields() -> str:
    return (
        "## Columns\n\n<details><summary>Every column of both tables</summary>\n\n"
        f"### Explanations, one row each\n\n{field_table(EXPLANATIONS)}\n\n"
        f"### Queries: what was asked of the model\n\n{field_table(QUERIES)}\n\n</details>"
    )


def _end() -> str:
    asset = files("proxyspex_hf.hub") / "assets" / "card_end.md"
    return asset.read_text(encoding="utf-8").strip()

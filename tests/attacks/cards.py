"""Cards whose metadata stands in odd places: nothing that the Hub's reader reads may be lost."""

from __future__ import annotations

from huggingface_hub import DatasetCard
from record_factory import make_record

from attacks.outcome import Attack, Outcome
from proxyspex_hf import HubError
from proxyspex_hf.hub.card import render_card
from proxyspex_hf.hub.entries import HubEntry
from proxyspex_hf.hub.rows import rows_of

__all__ = ["ATTACKS", "KEPT", "REFUSED"]

_OWN = "license: mit # mine\nconfigs:\n- config_name: own\n  data_files: own/*.csv\n"
_ENTRY = HubEntry.from_row(rows_of(make_record("not bad"))[0], "a.parquet", 0)

#: Heads that are read, and what stands behind them.
KEPT: dict[str, str] = {
    "as usual": f"---\n{_OWN}---\n# Mine\n",
    "a blank line before": f"\n---\n{_OWN}---\n# Mine\n",
    "blank lines and spaces before": f" \n\t\n  ---\n{_OWN}---\n# Mine\n",
    "a byte order mark": f"\ufeff---\n{_OWN}---\n# Mine\n",
    "a byte order mark and a blank line": f"\ufeff\n---\n{_OWN}---\n# Mine\n",
    "Windows line endings": f"---\n{_OWN}---\n# Mine\n".replace("\n", "\r\n"),
    "spaces after the first dashes": f"---  \n{_OWN}---\n# Mine\n",
    "spaces after the last dashes": f"---\n{_OWN}---  \n# Mine\n",
    "nothing behind": f"---\n{_OWN}---",
    "an anchor": f"---\n{_OWN}x: &a [1]\ny: *a\n---\n# Mine\n",
    "a comment alone": "---\n# mine\n---\n# Mine\n",
    "nothing within": "---\n---\n# Mine\n",
    "no head": "# Mine\n",
}
#: Heads that are not understood.
REFUSED: dict[str, str] = {
    "no end": f"---\n{_OWN}# Mine\n",
    "no end, behind a blank line": f"\n---\n{_OWN}# Mine\n",
    "a key twice": f"---\n{_OWN}license: apache-2.0\n---\n",
    "a list": "---\n- license\n---\n",
    "a text": "---\njust words\n---\n",
    "no YAML": "---\na: [\n---\n",
    "a tag of Python": "---\na: !!python/object/apply:os.system [ls]\n---\n",
    "a tag that its text contradicts": "---\na: !!int x\n---\n",
    "configs that are not a list": "---\nconfigs:\n  own: own/*.csv\n---\n",
    "tags that are not a list": "---\ntags:\n  a: b\n---\n",
    "aliases without end": "---\na0: &a0 [x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    + "---\n",
    "an alias into itself": "---\na: &a [*a]\n---\n",
    "deep lists": f"---\na: {'[' * 5000}\n---\n",
    "200,000 characters": f"---\na: {'x' * 200_000}\n---\n",
    "an integer of 5,000 digits": f"---\na: {'9' * 5000}\n---\n",
}


def _rendered(card: str) -> str:
    return render_card(card, "me/mine", {"explanations": [_ENTRY]}, ["explanations"])


def heads(long: bool) -> Outcome:
    """Each of them, rendered twice."""
    bad = []
    for name, card in KEPT.items():
        before = DatasetCard(card.removeprefix("\ufeff")).data.to_dict()
        new = _rendered(_rendered(card))
        after = DatasetCard(new).data.to_dict()
        own = [c for c in after["configs"] if c["config_name"] == "own"]
        lost = {k for k, v in before.items() if k != "configs" and after.get(k) != v}
        if lost or ("own" in card) != bool(own) or ("# Mine" in card) != ("# Mine" in new):
            bad.append(name)
        if "# mine" in card and "# mine" not in new:
            bad.append(f"{name}: the comment")
    for name, card in REFUSED.items():
        try:
            _rendered(card)
        except HubError:
            continue
        bad.append(name)
    figures = f"{len(KEPT)} kept, {len(REFUSED)} refused" if not bad else f"not so: {bad}"
    return Outcome("a card's metadata", ", ".join([*KEPT, *REFUSED]), not bad, figures)


ATTACKS: tuple[Attack, ...] = (heads,)

"""Vocabularies of tiny tokenizers, as ``tokenizers`` once trained them on a few sentences.

Its trainers of word pieces and unigrams break ties by chance: trained anew, the tokens and with
them the models would be others in every run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import models

VOCABULARIES: dict[str, list[Any]] = json.loads(
    (Path(__file__).parent / "data" / "pieces.json").read_text("utf-8")
)


def word_pieces(name: str) -> models.WordPiece:
    places = {piece: place for place, piece in enumerate(VOCABULARIES[name])}
    return models.WordPiece(places, unk_token="[UNK]")


def unigrams(name: str) -> models.Unigram:
    pieces = [(piece, score) for piece, score in VOCABULARIES[name]]
    return models.Unigram(pieces, unk_id=[piece for piece, _ in pieces].index("<unk>"))

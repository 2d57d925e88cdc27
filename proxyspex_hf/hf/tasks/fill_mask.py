"""fill-mask: which token stands where the text has its mask token?"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxyspex_hf.checks import FloatArray
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, value_name
from proxyspex_hf.hf.tasks.token_site import SiteInput
from proxyspex_hf.hf.text.limits import longest_input
from proxyspex_hf.hf.text.prepared import read_words
from proxyspex_hf.hf.text.site import Places, overlap
from proxyspex_hf.hf.value_function import Claims, Unread
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import Target


class FillMask(SiteInput):
    """The set function of the word that stands for the mask token in the text.

    ``target`` is one token of the vocabulary: its name, its index, or a word that is one token at
    this place; default what the pipeline fills in (first among its ``targets``, where it has any).
    ``"probability"`` is the pipeline's own score. The text's own mask token is never a feature;
    where masked words are replaced by the same token, the value is still read at the text's own.

    Raises:
        InputError: no text, no or several mask tokens in it, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        mask = getattr(pipe.tokenizer, "mask_token", None)
        if mask is None or not isinstance(value, str) or value.count(mask) != 1:
            raise InputError(
                f"fill-mask explains a text with one {mask or 'mask token'} in it, got "
                f"{value!r:.80}."
            )
        stages = Stages(pipe)
        # How much of the text is read decides first: it may begin elsewhere then.
        how = stages.preprocess.get("tokenizer_kwargs") or {}
        settings = {name: how[name] for name in ("add_special_tokens",) if name in how}
        cut = read_words(pipe, value, options, most=_most(pipe, how), settings=settings)
        if mask not in cut.text:
            raise InputError(
                f"the {mask} lies beyond what the model reads of this text: shorten the text. "
                f"{' '.join(cut.notes)}"
            )
        span = (cut.text.index(mask), cut.text.index(mask) + len(mask))
        if not isinstance(options.features, str):
            options = replace(options, features=cut.features.spans)
        words = read_words(
            pipe,
            cut.text,
            options,
            read=lambda texts: stages.inputs(texts[0]),
            fixed=span,
            most=_most(pipe, how),
            settings=settings,
        )
        if words.text != cut.text:
            raise InputError("the pipeline adds tokens to this text that leave it no room: cut it.")
        kept = _kept_whole(cut.features, words.features, mask)
        super().__init__(stages, replace(words, notes=(*cut.notes, *kept)), options, [span])
        self._value = options.value
        kind = value_name(options.value, CLASS_VALUES)
        logits = self.whole[0]
        among = stages.postprocess.get("target_ids")
        among = np.arange(len(logits)) if among is None else np.asarray(among)
        predicted = int(among[logits[among].argmax()])
        index = predicted if options.target is None else self._token(options.target, span)
        self.target = Target(self._name(index), index, kind, self._name(predicted))
        if isinstance(options.target, str):
            self.notes += self._other_form(options.target, index, span)

    def _found(self, mask: NDArray[np.bool_], inputs: Mapping[str, Any]) -> Places:
        """The text's own mask token among all, by how many stand before it."""
        token = self.tokenizer.mask_token
        text = self.masked_input(mask)
        start, stop = self._site.images(mask)[0]
        before, behind = text[:start].count(token), text[stop:].count(token)
        places = np.flatnonzero(np.asarray(inputs["input_ids"])[0] == self.tokenizer.mask_token_id)
        missing = before + 1 + behind - len(places)
        if missing > 0 and self.tokenizer.truncation_side == "left":
            before -= missing
        if missing < 0 or not 0 <= before < len(places):
            raise ModelError(
                f"the pipeline reads {len(places)} mask tokens in a masked text that holds "
                f"{before + 1 + behind}, so the explained one cannot be told: shorten the text, or "
                "choose another mask_token."
            )
        return places[before : before + 1], np.zeros(1, dtype=np.int64)

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value)

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        if self.stages is None:
            return None
        inputs = self._encoded(mask)
        masks = np.flatnonzero(np.asarray(inputs["input_ids"])[0] == self.tokenizer.mask_token_id)
        answer = self.stages.answer(self.masked_input(mask))
        try:
            if len(masks) > 1:  # an answer for each mask token
                answer = answer[list(masks).index(self._found(mask, inputs)[0][0])]
            entries = [answer] if isinstance(answer, Mapping) else answer
            said = [(int(e["token"]), float(e["score"])) for e in entries]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise Unread(answer) from error
        if not said or not all(0 <= token < self.whole.shape[1] for token, _ in said):
            raise Unread(answer)
        outputs = self.outputs_of(mask)
        return said, [(i, float(class_score(outputs, i, "probability")[0])) for i, _ in said]

    def _name(self, token: int) -> str:
        name = self.tokenizer.convert_ids_to_tokens(token)
        return f"token {token}" if name is None else str(name)

    def _token(self, wanted: Any, span: tuple[int, int]) -> int:
        count = self.whole.shape[1]
        if isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool):
            if 0 <= int(wanted) < count:
                return int(wanted)
            raise InputError(f"target={wanted!r} is not a token of this model: it has {count:,}.")
        if not isinstance(wanted, str) or not wanted.strip():
            raise InputError(f"target must be a token of the vocabulary, got {wanted!r}.")
        known = self.tokenizer.get_vocab()
        tokens = [known[wanted]] if wanted in known else self._in_place(wanted.strip(), span)
        if len(tokens) == 1 and 0 <= tokens[0] < count:
            unknown = tokens[0] == self.tokenizer.unk_token_id and wanted != self._name(tokens[0])
            if not unknown:
                return int(tokens[0])
        for marked in (f"\u0120{wanted}", f"\u2581{wanted}"):
            if marked in known and known[marked] < count:
                return int(known[marked])
        named = ", ".join(repr(self._name(token)) for token in tokens)
        raise InputError(
            f"target={wanted!r} is not one token of this model's vocabulary: in this text it would "
            f"be {named}. Give one of its tokens, or another word."
        )

    def _other_form(self, wanted: str, index: int, span: tuple[int, int]) -> tuple[str, ...]:
        """A note where the token of that name is not the one that the word would be here."""
        here = self._in_place(wanted.strip(), span)
        if len(here) != 1 or here[0] in (index, self.tokenizer.unk_token_id):
            return ()
        return (
            f"target={wanted!r} is the token of this name; as a word in this place, it would be "
            f"the token {self._name(here[0])!r}.",
        )

    def _in_place(self, word: str, span: tuple[int, int]) -> list[int]:
        """The tokens of a word where the mask token stands."""
        if not self.tokenizer.is_fast:
            return list(self.tokenizer(word, add_special_tokens=False)["input_ids"])
        encoded = self.tokenizer(
            self.text[: span[0]] + word + self.text[span[1] :],
            add_special_tokens=False,
            return_offsets_mapping=True,
        )
        here = (span[0], span[0] + len(word))
        return [
            token
            for token, held in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
            if overlap(tuple(held), here)
        ]


def _kept_whole(every: Features, masked: Features, mask: str) -> tuple[str, ...]:
    """A note where a feature has words of its own beside the mask token, and is not one for that:
    it is never masked."""
    left = zip(every.labels, every.spans, strict=True)
    whole = [label for label, span in left if span not in set(masked.spans)]
    return tuple(
        f"{label!r} holds the {mask}, and so it is never masked."
        for label in whole
        if any(map(str.isalnum, label.replace(mask, "")))
    )


def _most(pipe: Any, how: Mapping[str, Any]) -> int | None:
    """Tokens that the pipeline gives its model; None where nothing states a limit."""
    limits = [longest_input(pipe)]
    if how.get("truncation") not in (None, False, "do_not_truncate"):
        limits.append(how.get("max_length"))
    return min((limit for limit in limits if limit is not None), default=None)

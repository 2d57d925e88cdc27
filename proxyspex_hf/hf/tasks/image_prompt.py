"""image-text-to-text: how readily the model says its output about an image, with parts masked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.cropped import crop_notes
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.failures import first_line
from proxyspex_hf.hf.masked_image import MaskedImage, open_image
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.saying import (
    answered_in_short,
    generation_asides,
    generation_notes,
    own_output,
    said_by_pipeline,
)
from proxyspex_hf.hf.sequence import (
    SEQUENCE_VALUES,
    known_output,
    log_probabilities,
    logits_size,
    sequence_score,
)
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import value_name
from proxyspex_hf.hf.text.chat import located
from proxyspex_hf.hf.text.mask_token import resolve_mask_token
from proxyspex_hf.hf.text.masking import MaskedText
from proxyspex_hf.hf.text.parts import prompt_features
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.prompts import Prompt, PromptPart
from proxyspex_hf.record.inputs import Features, Part
from proxyspex_hf.record.record import Target


class ImagePrompt(BoundInput):
    """The set function of an image and a question under an image-text-to-text pipeline.

    The input is ``{"image": …, "text": …}``: the image's patches are masked, the text is not; with
    ``"mask_text": True`` its words are, too, but never the processor's token for an image. Where
    the processor has a chat template, both are put into a message of the user's; else the pipeline
    reads the text as it is given, and only one that it cannot answer so begins with that token
    (``notes`` say so). The value is made of the log-probabilities of the pipeline's own output (or
    of ``target``) when the model is made to say it, as for text-generation.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.stages = Stages(pipe)
        self.model, self.batch_size = pipe.model, options.batch_size
        self._processor, self._value = pipe.processor, options.value
        self._tokenizer = pipe.processor.tokenizer
        kind = value_name(options.value, SEQUENCE_VALUES)
        image, question, mask_text = _read(value)
        opened = open_image(image, timeout=self.stages.preprocess.get("timeout"))
        self.notes = crop_notes(getattr(self._processor, "image_processor", None), opened)
        self._image = self._divided(opened, options)
        self.picture, self.image_masking = self._image.picture, options.image_masking
        self.features, self._before = self._image.features(), ""
        self._question, self._place = question, (0, 0)
        self._words: MaskedText | None = None
        self._make_room(self.stages)
        self.text = self._rendered(question)
        if mask_text:
            self._mask_words(question, options)
        whole = self._inputs(np.ones(self.n_features, dtype=np.bool_))
        self.target_ids, label = own_output(self.stages, self._tokenizer, whole, options)
        own = options.target is None
        self.target = Target(label, None, kind, label if own else None)
        self.notes = (*self.notes, *(generation_notes(self.stages) if own else ()))
        self.asides = generation_asides(self.stages) if own else ()
        self.arguments = {"question": question, "target_tokens": self.target_ids.tolist()}

    def _divided(self, image: Image.Image, options: FeatureOptions) -> MaskedImage:
        """The image as the model reads it, or as it was given where the processor makes no picture
        of it."""
        processor = getattr(self._processor, "image_processor", None)
        for as_read in (True, False):
            try:
                return MaskedImage(
                    image,
                    self._processed,
                    processor,
                    options.patches,
                    options.image_masking,
                    as_read=as_read,
                )
            except ModelError:
                continue
        raise InputError("the image cannot be divided: its processor gives no pixels.")

    def _make_room(self, stages: Stages) -> None:
        """Begin the text with the image's token where the pipeline cannot answer it without."""
        token = self._image_token
        if getattr(self._processor, "chat_template", None) or not token or token in self._question:
            return
        whole = np.ones(len(self.features), dtype=bool)
        try:
            answered_in_short(stages, self._inputs(whole))
        except ModelError as error:
            self._before = f"{token}\n"
            try:
                answered_in_short(stages, self._inputs(whole))
            except ModelError:  # the room was not what it lacked
                self._before = ""
                raise error from error.__cause__
            self.notes = (
                *self.notes,
                f"The pipeline cannot answer this text as it is ({first_line(error)}): it is asked "
                f"with {token!r} and a new line before it.",
            )

    @property
    def _image_token(self) -> str:
        """What stands in a text for the image; empty where the processor has no such token."""
        return str(getattr(self._processor, "image_token", "") or "")

    def _mask_words(self, question: str, options: FeatureOptions) -> None:
        """Make the words of the question features, in the prompt as it is rendered."""
        self.text, (start,) = located(
            lambda texts: self._rendered(texts[0]),
            [question],
            ["the question"],
            "leave mask_text out",
        )
        begin = start - len(question) + len(question.lstrip())
        asked = _prompt(question, self._image_token)
        found, _ = prompt_features(self.text, asked, begin, options.features, self._tokenizer)
        self.mask_token = resolve_mask_token(self._tokenizer, options.masking, options.mask_token)
        self._place = (start, start + len(question.strip()))
        self.parts = (Part("question", *self._place),)
        self._words = MaskedText(
            self._tokenizer,
            self.text,
            found,
            options.masking,
            self.mask_token,
            blocks=(self._place,),
        )
        image = self.features
        self.features = Features(
            image.labels + found.labels, found.spans, found.kind, image.regions, image.region_kind
        )

    def say(self, tokens: Any) -> None:
        """Explain the same output in other tokens: those in which it was once generated.

        Raises:
            InputError: they say something else.
        """
        self.target_ids = known_output(self._tokenizer, self.target.label, tokens)
        self.arguments = {**self.arguments, "target_tokens": self.target_ids.tolist()}
        for name in ("whole", "way"):
            self.__dict__.pop(name, None)

    def masked_input(self, mask: NDArray[np.bool_]) -> Any:
        """The masked image and text: messages where there is a chat template, else a mapping."""
        row = as_masks(mask, self.n_features, "mask")[0]
        image = self._image.masked_image(row[: self.features.text_start])
        question = self._masked_question(row)
        if getattr(self._processor, "chat_template", None):
            parts = [{"type": "image", "image": image}, {"type": "text", "text": question}]
            return [{"role": "user", "content": parts}]
        return {"images": image, "text": self._rendered(question)}

    def _masked_question(self, row: BoolArray) -> str:
        if self._words is None:
            return self._question
        body = self._question.strip()
        lead, _, tail = self._question.partition(body)
        words = row[self.features.text_start :]
        return lead + self._words.masked_range(words, *self._place) + tail

    def masked_text(self, mask: NDArray[np.bool_]) -> str:
        """The prompt that the model reads under one mask, shape (n,)."""
        return self._rendered(self._masked_question(as_masks(mask, self.n_features, "mask")[0]))

    def _rendered(self, question: str) -> str:
        """The prompt as the pipeline reads it, or as its template makes it."""
        if getattr(self._processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            messages = [{"role": "user", "content": content}]
            return str(
                self._processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
        return self._before + question

    def _inputs(self, mask: NDArray[np.bool_]) -> Any:
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        return self.stages.inputs(self.masked_input(mask))

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        """Log-probabilities of the output's tokens, (1, t), as the pipeline generates them."""
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        with evaluating(self.model):
            logits = said_by_pipeline(self.stages, self._inputs(mask), self.target_ids)
        self.logits_size = max(self.logits_size, logits_size(logits))
        found: FloatArray = log_probabilities(logits, self.target_ids).double().cpu().numpy()
        return found

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        """By one forward pass over prompt and output, the shorter ones padded behind it."""
        masks = unpacked(items, self.n_features)
        pixels = self._image.pixels(masks[:, : self.features.text_start])
        read = [self._read_once(mask) for mask in self._distinct_texts(masks)]
        place = self._places(masks)
        wanted = len(self.target_ids)
        rows = [np.concatenate([read[i]["input_ids"], self.target_ids[:-1]]) for i in place]
        ids = np.full((len(rows), max(map(len, rows))), self._tokenizer.pad_token_id or 0)
        attention = np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            attention[row, : len(tokens)] = 1
        device = model_device(self.model)
        first = np.array([len(tokens) - wanted for tokens in rows])
        more, start = {}, 0
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            start = int(first.min())
            kept = torch.arange(start, int(first.max()) + wanted, device=device)
            more["logits_to_keep"] = kept
        logits = self.model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(attention).to(device),
            pixel_values=pixels.to(device, self.model.dtype),
            **more,
        ).logits
        places = torch.from_numpy(first[:, None] + np.arange(wanted) - start).to(logits.device)
        row_of = torch.arange(len(rows), device=logits.device)[:, None]
        return log_probabilities(logits[row_of, places], self.target_ids)

    def _texts_of(self, masks: BoolArray) -> tuple[BoolArray, NDArray[np.intp]]:
        texts, place = np.unique(masks[:, self.features.text_start :], axis=0, return_inverse=True)
        return texts, place.reshape(-1)

    def _distinct_texts(self, masks: BoolArray) -> list[BoolArray]:
        """A mask for each distinct text, of the whole image."""
        texts, _ = self._texts_of(masks)
        image = np.ones(self.features.text_start, dtype=np.bool_)
        return [np.concatenate([image, text]) for text in texts]

    def _places(self, masks: BoolArray) -> list[int]:
        return [int(i) for i in self._texts_of(masks)[1]]

    def _read_once(self, mask: BoolArray) -> dict[str, NDArray[np.int64]]:
        """The tokens of one text; the image's pixels are put in later."""
        inputs = self._inputs(mask)
        known = {"input_ids", "attention_mask", "pixel_values", "text"}
        if set(inputs.keys()) - known or not bool(inputs["attention_mask"].all()):
            raise ModelError("this model reads more than tokens and pixels.")
        return {"input_ids": inputs["input_ids"][0].numpy()}

    def score(self, outputs: FloatArray) -> FloatArray:
        return sequence_score(outputs, self._value)

    def _processed(self, images: list[Image.Image]) -> torch.Tensor:
        processor = self._processor.image_processor
        try:
            made = [processor(images=[i], return_tensors="pt")["pixel_values"] for i in images]
            return torch.cat(made)
        except Exception as error:
            raise ModelError(
                f"{type(processor).__name__} makes no single picture of an image: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error


def _prompt(question: str, token: str) -> Prompt:
    """The question in parts: all of it masked but the token that stands for the image."""
    pieces = re.split(f"({re.escape(token)})", question) if token else [question]
    if not any(piece.strip() for piece in pieces if piece != token):
        raise InputError(f"the text {question!r:.60} has no words to mask: leave mask_text out.")
    return Prompt(
        tuple(PromptPart(piece, "question", masked=piece != token) for piece in pieces if piece)
    )


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"an input with {', '.join(map(repr, value))}"
    return "a chat" if isinstance(value, (list, tuple)) else type(value).__name__


def _read(value: Any) -> tuple[Any, str, bool]:
    fits = isinstance(value, Mapping) and {"image", "text"} <= set(value)
    if not fits or set(value) - {"image", "text", "mask_text"}:
        raise InputError(
            "image-text-to-text explains {'image': …, 'text': …}, with 'mask_text': True if the "
            f"words are features, too; got {_brief(value)}."
        )
    if not isinstance(value["text"], str) or not value["text"].strip():
        raise InputError(f"'text' must be a text, got {value['text']!r:.60}.")
    return value["image"], value["text"], bool(value.get("mask_text", False))

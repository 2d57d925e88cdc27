"""image-text-to-text: how readily the model says its output about an image, with parts masked."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.masked_image import MaskedImage, open_image
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import SEQUENCE_VALUES, own_output, sequence_score
from proxyspex_hf.hf.targets import value_name
from proxyspex_hf.hf.text.chat import located
from proxyspex_hf.hf.text.mask_token import resolve_mask_token
from proxyspex_hf.hf.text.masking import MaskedText
from proxyspex_hf.hf.text.parts import prompt_features
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.inputs import Features
from proxyspex_hf.prompts import Prompt, PromptPart
from proxyspex_hf.record import Target

__all__ = ["ImagePrompt"]


class ImagePrompt(BoundInput):
    """The set function of an image and a question under an image-text-to-text pipeline.

    The input is ``{"image": …, "text": …}``: the image's patches are masked, the text is not; with
    ``"mask_text": True`` its words are, too. The value is made of the log-probabilities of the
    model's own output (or of ``target``), as for text-generation.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self._processor, self._value = pipe.processor, options.value
        self._tokenizer = pipe.processor.tokenizer
        kind = value_name(options.value, SEQUENCE_VALUES)
        image, question, mask_text = _read(value)
        self._image = MaskedImage(
            open_image(image),
            self._processed,
            self._processor.image_processor,
            options.patches,
            options.image_masking,
        )
        self.picture, self.image_masking = self._image.picture, options.image_masking
        prompt = self._rendered(question)
        self._inputs = dict(
            self._processor(images=[self._image.image], text=[prompt], return_tensors="pt")
        )
        self._ids = self._inputs.pop("input_ids")[0].numpy()
        self._inputs.pop("attention_mask", None)
        self._inputs.pop("pixel_values")
        self.features = self._image.features()
        self._words: MaskedText | None = None
        self.text = prompt
        if mask_text:
            self._mask_words(question, options)
        self._keeps = "logits_to_keep" in inspect.signature(self.model.forward).parameters
        self.target_ids, label = self._target_tokens(options)
        self.target = Target(label, None, kind, None if options.target is not None else label)
        self.arguments = {"question": question, "target_tokens": self.target_ids.tolist()}

    def _mask_words(self, question: str, options: FeatureOptions) -> None:
        """Make the words of the question features, in the prompt with its image tokens."""
        token = str(self._processor.image_token)
        count = int((self._ids == self._tokenizer.convert_tokens_to_ids(token)).sum())
        self.text, (start,) = located(
            lambda texts: self._rendered(texts[0]).replace(token, token * count),
            [question],
            ["the question"],
            "leave mask_text out",
        )
        own = Prompt((PromptPart(question, "question", masked=True),))
        found, self.parts = prompt_features(
            self.text,
            own,
            start - len(question) + len(question.lstrip()),
            options.features,
            self._tokenizer,
        )
        self.mask_token = resolve_mask_token(self._tokenizer, options.masking, options.mask_token)
        self._words = MaskedText(
            self._tokenizer, self.text, found, options.masking, self.mask_token
        )
        whole = self._words.items(np.ones((1, len(found)), dtype=np.bool_))[0]
        if not np.array_equal(np.frombuffer(whole, dtype=np.int64), self._ids):
            raise InputError(
                "this processor writes more into the text than its image tokens, so its words "
                "cannot be masked: leave mask_text out."
            )
        image = self.features
        self.features = Features(
            image.labels + found.labels, found.spans, found.kind, image.regions, image.region_kind
        )

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return len(self._ids) + len(self.target_ids)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        masks = unpacked(items, self.n_features)
        split = self.features.text_start
        pixels = self._image.pixels(masks[:, :split])
        if self._words is None:
            prompts = [self._ids] * len(items)
        else:
            texts = self._words.items(masks[:, split:])
            prompts = [np.frombuffer(text, dtype=np.int64) for text in texts]
        rows = [np.concatenate([prompt, self.target_ids[:-1]]) for prompt in prompts]
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._tokenizer.pad_token_id or 0, dtype=np.int64)
        attention = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, longest - len(row) :] = row
            attention[place, longest - len(row) :] = 1
        device, wanted = model_device(self.model), len(self.target_ids)
        logits = self.model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(attention).to(device),
            pixel_values=pixels.to(device, self.model.dtype),
            **self._others(len(items), longest),
            **({"logits_to_keep": wanted} if self._keeps else {}),
        ).logits[:, -wanted:]
        target = torch.from_numpy(self.target_ids).to(logits.device).expand(len(rows), -1)
        chosen = logits.float().gather(-1, target[..., None])[..., 0]
        found: torch.Tensor = chosen - logits.float().logsumexp(dim=-1)
        return found

    def score(self, outputs: FloatArray) -> FloatArray:
        return sequence_score(outputs, self._value)

    def masked_input(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The masked image, and the text with the chat template and its masked words."""
        row = as_masks(mask, self.n_features, "mask")[0]
        split = self.features.text_start
        text = self.text if self._words is None else self._words.masked_text(row[split:])
        return {"image": self._image.masked_image(row[:split]), "text": text}

    def _others(self, rows: int, length: int) -> dict[str, torch.Tensor]:
        """What else the processor gave (sizes, types of tokens), for as many rows."""
        out = {}
        for name, value in self._inputs.items():
            tensor = value
            if tensor.ndim == 2 and tensor.shape[1] == len(self._ids):  # one entry a token
                more = tensor.new_zeros((1, length - tensor.shape[1]))
                tensor = torch.cat([tensor, more], dim=1)
            repeats = [rows, *[1] * (tensor.ndim - 1)]
            out[name] = tensor.repeat(repeats).to(model_device(self.model))
        return out

    def _processed(self, images: list[Image.Image]) -> torch.Tensor:
        processor = self._processor.image_processor
        parts = [processor(images=[i], return_tensors="pt")["pixel_values"] for i in images]
        return torch.cat(parts)

    def _rendered(self, question: str) -> str:
        if getattr(self._processor, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            messages = [{"role": "user", "content": content}]
            return str(
                self._processor.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                )
            )
        token = str(self._processor.image_token)
        return question if token in question else f"{token}\n{question}"

    def _target_tokens(self, options: FeatureOptions) -> tuple[NDArray[np.int64], str]:
        inputs = {name: value.to(model_device(self.model)) for name, value in self._inputs.items()}
        pixels = self._image.pixels(np.ones((1, len(self._image)), dtype=np.bool_))
        inputs["pixel_values"] = pixels.to(model_device(self.model), self.model.dtype)
        with evaluating(self.model):
            return own_output(self.model, self._tokenizer, self._ids, options, **inputs)


def _read(value: Any) -> tuple[Any, str, bool]:
    fits = isinstance(value, Mapping) and {"image", "text"} <= set(value)
    if not fits or set(value) - {"image", "text", "mask_text"}:
        raise InputError(
            "image-text-to-text explains {'image': …, 'text': …}, with 'mask_text': True if the "
            f"words are features, too; got {type(value).__name__}."
        )
    if not isinstance(value["text"], str) or not value["text"].strip():
        raise InputError(f"'text' must be a text, got {value['text']!r:.60}.")
    return value["image"], value["text"], bool(value.get("mask_text", False))

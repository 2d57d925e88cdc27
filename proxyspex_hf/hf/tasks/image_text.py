"""zero-shot-image-classification (CLIP, SigLIP): image patches and the words of a caption together.

Each tower's masked input is embedded once; what the embeddings say of each other is arithmetic. The
other pairs of a contrastive loss are embedded once for all masks.
"""

from __future__ import annotations

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
from proxyspex_hf.hf.sequence import padded
from proxyspex_hf.hf.targets import CLASS_VALUES, class_score, value_name, wanted_targets
from proxyspex_hf.hf.tasks.image_classification import image_tokens
from proxyspex_hf.hf.text.prepared import Words, read_words
from proxyspex_hf.hf.text.tokens import token_arrays
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked
from proxyspex_hf.inputs import Features
from proxyspex_hf.record import Target

__all__ = ["ImageText"]

_PAIR_VALUES = ("logit", "similarity", "contrastive loss")


class ImageText(BoundInput):
    """The set function of an image with a caption, or of an image among candidate labels.

    The input is a mapping with ``image`` and one of

    - ``text``: a caption whose words are masked like the image's patches. The value is the
      model's image-text logit, their cosine ``"similarity"``, or the ``"contrastive loss"`` of the
      batch that the pair makes with ``others`` (pairs (image, text)), as the model itself gives it
      with ``return_loss=True``;
    - ``candidate_labels``: fixed captions (put into ``hypothesis_template``); the value is made of
      the logits of all of them, default that of the best.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self._pipe, self._value = pipe, options.value
        image, text, labels, others, template = _read(value)
        self._sigmoid = "siglip" in str(self.model.config.model_type)
        self._masked = MaskedImage(
            open_image(image),
            self._processed,
            pipe.image_processor,
            options.patches,
            options.image_masking,
        )
        self.picture, self.image_masking = self._masked.picture, options.image_masking
        self.features = self._masked.features()
        self._words: Words | None = None
        self._others: tuple[torch.Tensor, torch.Tensor] | None = None
        self._fixed: torch.Tensor | None = None
        if text is not None:
            self._with_caption(text, others, options)
        else:
            self._among(labels, template, options)

    def _with_caption(self, text: str, others: Sequence[Any], options: FeatureOptions) -> None:
        words = read_words(self._pipe, text, options, most=_text_length(self._pipe))
        self._words, self.text, self.notes = words, words.text, words.notes
        self.mask_token = words.mask_token
        image, caption = self.features, words.features
        self.features = Features(
            image.labels + caption.labels,
            caption.spans,
            caption.kind,
            image.regions,
            image.region_kind,
        )
        kind = value_name(options.value, _PAIR_VALUES)
        if (kind == "contrastive loss") != bool(others):
            raise InputError(
                "value='contrastive loss' and others=[(image, text), …] belong together: the loss "
                "is that of the batch which the pair makes with the others."
            )
        if options.target is not None or options.targets:
            raise InputError("target has no meaning with a caption: the pair itself is explained.")
        self.target = Target(words.text, None, kind, None)
        if others:
            self._others = self._embed_others(others)
            self.arguments = {"others": [str(caption) for _, caption in others]}

    def _among(self, labels: Sequence[str], template: str, options: FeatureOptions) -> None:
        kind = value_name(options.value, CLASS_VALUES)
        self._fixed = self._embed_texts([template.format(label) for label in labels])
        self.arguments = {"candidate_labels": list(labels), "hypothesis_template": template}
        named = dict(enumerate(labels))
        whole = self.items(np.ones((1, self.n_features), dtype=np.bool_))
        with evaluating(self.model):
            best = int(self.outputs(whole)[0].argmax())
        self.target, self.targets = wanted_targets(named, options, kind, best)

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return image_tokens(self.model.config)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        masks = unpacked(items, self.n_features)
        split = self.features.text_start
        image = self._image_embedding(self._masked.pixels(masks[:, :split]))
        if self._words is None:
            return self._logits(image, self._fixed)
        texts, place = np.unique(masks[:, split:], axis=0, return_inverse=True)
        text = self._text_embedding(self._words.masked.items(texts))[place.reshape(-1)]
        similarity = (image * text).sum(-1, keepdim=True)
        if self._others is None:
            return torch.cat([similarity, self._scaled(similarity)], dim=1)
        return self._losses(image, text)[:, None]

    def score(self, outputs: FloatArray) -> FloatArray:
        if self._words is None:
            index = self.target.index or 0
            return class_score(
                outputs, index, self._value, applied="sigmoid" if self._sigmoid else "softmax"
            )
        if callable(self._value):
            return class_score(outputs, 0, self._value)
        column: FloatArray = outputs[:, 1 if self.target.kind == "logit" else 0]
        return column

    def masked_input(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The masked image, and the masked caption or the candidate labels."""
        row = as_masks(mask, self.n_features, "mask")[0]
        split = self.features.text_start
        image = self._masked.masked_image(row[:split])
        if self._words is None:
            return {"image": image, **self.arguments}
        return {"image": image, "text": self._words.masked.masked_text(row[split:])}

    def _losses(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The contrastive loss of the batch of each masked pair and the others, (b,)."""
        images, texts = self._others or (image, text)
        b, count = len(image), len(images)
        logits = image.new_empty((b, count + 1, count + 1))  # rows: texts, columns: images
        logits[:, 1:, 1:] = self._logits(images, texts).T
        logits[:, 0, 0] = self._scaled((image * text).sum(-1))
        logits[:, 0, 1:] = self._logits(text, images)
        logits[:, 1:, 0] = self._logits(image, texts)
        if self._sigmoid:
            sign = 2 * torch.eye(count + 1, device=image.device) - 1
            pairs = torch.nn.functional.logsigmoid(sign * logits)
            return -pairs.sum(-1).mean(-1)
        own = logits.diagonal(dim1=1, dim2=2)
        by_text = (logits.logsumexp(2) - own).mean(1)
        by_image = (logits.logsumexp(1) - own).mean(1)
        return (by_text + by_image) / 2

    def _scaled(self, cosines: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = cosines * self.model.logit_scale.exp().to(cosines)
        bias = getattr(self.model, "logit_bias", None)
        return logits if bias is None else logits + bias.to(cosines)

    def _logits(self, left: torch.Tensor, right: torch.Tensor | None) -> torch.Tensor:
        return self._scaled(left @ (left if right is None else right).T)

    def _processed(self, images: list[Image.Image]) -> torch.Tensor:
        made = self._pipe.image_processor(images=images, return_tensors="pt")
        pixels: torch.Tensor = made["pixel_values"]
        return pixels

    def _image_embedding(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(model_device(self.model), self.model.dtype)
        return _unit(self.model.get_image_features(pixel_values=pixels))

    def _text_embedding(self, items: Sequence[bytes]) -> torch.Tensor:
        rows, _ = token_arrays(items)
        tokenizer = self._pipe.tokenizer
        if self._sigmoid:  # was trained on texts padded to the full length, without a mask
            length = _text_length(self._pipe)
            full = np.full((len(rows), length), tokenizer.pad_token_id, dtype=np.int64)
            for place, row in enumerate(rows):
                full[place, : len(row)] = row
            ids = torch.from_numpy(full).to(model_device(self.model))
            return _unit(self.model.get_text_features(input_ids=ids))
        inputs = padded(rows, tokenizer.pad_token_id or 0, "right", model_device(self.model))
        return _unit(self.model.get_text_features(**inputs))

    def _embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        tokenizer = self._pipe.tokenizer
        encoded = tokenizer(list(texts), truncation=True, max_length=_text_length(self._pipe))
        items = [np.array(row, dtype=np.int64).tobytes() for row in encoded["input_ids"]]
        with evaluating(self.model):
            return self._text_embedding(items)

    def _embed_others(self, others: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        images = []
        with evaluating(self.model):
            for start in range(0, len(others), 16):
                part = [open_image(image) for image, _ in others[start : start + 16]]
                images.append(self._image_embedding(self._processed(part)))
        return torch.cat(images), self._embed_texts([str(text) for _, text in others])


def _unit(features: Any) -> torch.Tensor:
    """An embedding of length one; transformers 5 wraps it with the tower's other outputs."""
    embedding = features if isinstance(features, torch.Tensor) else features.pooler_output
    unit: torch.Tensor = embedding / embedding.norm(dim=-1, keepdim=True)
    return unit


def _text_length(pipe: Any) -> int:
    return int(pipe.model.config.text_config.max_position_embeddings)


def _read(value: Any) -> tuple[Any, str | None, Sequence[str], Sequence[Any], str]:
    known = {"image", "text", "candidate_labels", "others", "hypothesis_template"}
    fits = isinstance(value, Mapping) and "image" in value and set(value) <= known
    if not fits or ("text" in value) == ("candidate_labels" in value):
        raise InputError(
            "zero-shot-image-classification explains {'image': …, 'text': caption} or {'image': …, "
            f"'candidate_labels': [...]}}; got {_brief(value)}."
        )
    text = value.get("text")
    labels = value.get("candidate_labels", ())
    if "text" in value and not isinstance(text, str):
        raise InputError(f"'text' must be a caption (str), got {type(text).__name__}.")
    if "text" not in value and (
        isinstance(labels, str) or not all(map(_is_text, labels)) or not labels
    ):
        raise InputError("'candidate_labels' must be a list of texts, at least one.")
    template = value.get("hypothesis_template", "This is a photo of {}.")
    return value["image"], text, labels, value.get("others", ()), template


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _brief(value: Any) -> str:
    return str(sorted(map(str, value))) if isinstance(value, Mapping) else type(value).__name__

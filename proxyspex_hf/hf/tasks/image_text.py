"""zero-shot-image-classification (CLIP, SigLIP): image patches and the words of a caption together.

By the fast path, each tower's masked input is embedded once; what the embeddings say of each other
is arithmetic. The other pairs of a contrastive loss are embedded once for all masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from proxyspex_hf.checks import BoolArray, FloatArray, as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.cropped import crop_notes
from proxyspex_hf.hf.evaluating import evaluating, model_device
from proxyspex_hf.hf.failures import first_line, is_out_of_memory
from proxyspex_hf.hf.masked_image import MaskedImage, open_image, pixels_digest
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.sequence import padded
from proxyspex_hf.hf.stages import Stages, preset
from proxyspex_hf.hf.targets import CLASS_VALUES, Applied, class_score, value_name, wanted_targets
from proxyspex_hf.hf.tasks.classification import check_value, scores_beside
from proxyspex_hf.hf.tasks.image_classification import image_tokens
from proxyspex_hf.hf.tasks.zero_shot import checked_template
from proxyspex_hf.hf.text.prepared import Words, read_words
from proxyspex_hf.hf.text.tokens import token_arrays
from proxyspex_hf.hf.value_function import BoundInput, Claims, packed, unpacked
from proxyspex_hf.record.inputs import Features
from proxyspex_hf.record.record import Target

_PAIR_VALUES = ("logit", "similarity", "contrastive loss")


class ImageText(BoundInput):
    """The set function of an image with a caption, or of an image among candidate labels.

    The input is a mapping with ``image`` and one of

    - ``text``: a caption whose words are masked like the image's patches. The value is the
      pipeline's image-text logit, their cosine ``"similarity"``, or the ``"contrastive loss"`` of
      the batch that the pair makes with ``others`` (pairs (image, text)), as the model itself gives
      it with ``return_loss=True``. Outputs are (similarity, logit), or the loss;
    - ``candidate_labels``: fixed captions (put into ``hypothesis_template``); the value is made of
      the pipeline's logits of all of them, default that of the best.

    Raises:
        InputError: another input, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self._pipe, self._value = pipe, options.value
        image, text, labels, others, template = _read(value, pipe)
        template = template if template is not None else options.hypothesis_template
        if template is not None and text is not None:
            raise InputError(
                "hypothesis_template has no meaning with a caption: it makes one of each of the "
                "candidate labels."
            )
        if template is not None:
            checked_template(template, labels)
        self.stages = Stages(
            pipe,
            candidate_labels=list(labels) if text is None else [text],
            hypothesis_template=template if text is None else "{}",
        )
        self._sigmoid = "siglip" in str(self.model.config.model_type)
        opened = open_image(image, timeout=self.stages.preprocess.get("timeout"))
        self.notes = crop_notes(pipe.image_processor, opened)
        self._masked = MaskedImage(
            opened,
            self._processed,
            pipe.image_processor,
            options.patches,
            options.image_masking,
        )
        self.picture, self.image_masking = self._masked.picture, options.image_masking
        self.features = self._masked.features()
        self._words: Words | None = None
        self._pairs: list[tuple[Image.Image, str]] = []
        if text is not None:
            self._with_caption(text, others, options)
        else:
            self._among(labels, options)

    def _with_caption(self, text: str, others: Sequence[Any], options: FeatureOptions) -> None:
        words = read_words(
            self._pipe,
            text,
            options,
            read=lambda texts: self._texts([texts[0]]),
            truncates=self._sigmoid,
            most=_text_length(self._pipe),
            settings=_padding(self._pipe) if self._sigmoid else None,
        )
        self._words, self.text = words, words.text
        self.notes = (*self.notes, *words.notes)
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
            self._pairs = [(open_image(image), str(caption)) for image, caption in others]
            self.arguments = {"others": [caption for _, caption in self._pairs]}
            self.chosen = {"others": [pixels_digest(image) for image, _ in self._pairs]}
        if not self._masked.held:
            self.arguments = {**self.arguments, "image_size": list(self._masked.image.size)}
        if kind == "similarity" and np.isnan(self.whole).any():
            raise InputError(
                f"{type(self.model).__name__} gives no embeddings of which a similarity could be "
                "made: use value='logit'."
            )

    def _among(self, labels: Sequence[str], options: FeatureOptions) -> None:
        kind = value_name(options.value, CLASS_VALUES, independent=self._applied == "sigmoid")
        check_value(options.value, self._applied, len(labels))
        template = "This is a photo of {}."
        if self.stages is not None:
            default = preset(self.stages.pipe, "hypothesis_template", template)
            template = self.stages.preprocess.get("hypothesis_template") or default
        self.arguments = {"candidate_labels": list(labels), "hypothesis_template": template}
        best = int(self.whole[0].argmax())
        named = dict(enumerate(labels))
        self.target, self.targets = wanted_targets(named, options, kind, best)

    @property
    def _applied(self) -> Applied:
        return "sigmoid" if self._sigmoid else "softmax"

    def masked_input(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The masked image, and the masked caption or the candidate labels."""
        row = as_masks(mask, self.n_features, "mask")[0]
        split = self.features.text_start
        image = self._masked.masked_image(row[:split])
        if self._words is None:
            return {"image": image, **self.arguments}
        return {"image": image, "text": self._words.masked.masked_text(row[split:])}

    def by_pipeline(self, mask: NDArray[np.bool_]) -> FloatArray:
        """The pipeline's logits; beside a caption's, what the model says of the embeddings."""
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        given = self.masked_input(mask)
        with evaluating(self.model):
            if self._words is None:
                rows = self.stages.run(self.stages.inputs(given["image"]))["logits"]
            elif self._pairs:
                rows = self._loss_of(given["image"], given["text"])
            else:
                inputs = self.stages.inputs(given["image"], candidate_labels=[given["text"]])
                logit = self.stages.run(inputs)["logits"]
                rows = torch.cat([self._similarity_of(inputs), logit.double()], dim=1)
        found: FloatArray = rows.double().cpu().numpy()
        return found

    def _similarity_of(self, inputs: Any) -> torch.Tensor:
        """The cosine of the model's embeddings, (1, 1); NaN where it gives none."""
        outputs = self._asked(_images_of(inputs), inputs["text_inputs"][0])
        if outputs.get("image_embeds") is None or outputs.get("text_embeds") is None:
            return torch.full((1, 1), torch.nan, dtype=torch.float64)
        image, text = _unit(outputs["image_embeds"]), _unit(outputs["text_embeds"])
        if image.shape != text.shape:
            return torch.full((1, 1), torch.nan, dtype=torch.float64)
        return (image * text).sum(-1, keepdim=True).double().cpu()

    def _loss_of(self, image: Image.Image, text: str) -> torch.Tensor:
        """The loss of the batch of one masked pair and the others, (1, 1)."""
        images = [_images_of(self._given(each)) for each in (image, *(i for i, _ in self._pairs))]
        batch = {name: torch.cat([each[name] for each in images]) for name in images[0]}
        texts = self._texts([text, *(caption for _, caption in self._pairs)])
        outputs = self._asked(batch, texts, return_loss=True)
        return torch.as_tensor(outputs["loss"]).reshape(1, 1)

    def _asked(self, images: Mapping[str, Any], texts: Any, **more: Any) -> Any:
        device = model_device(self.model)
        try:
            tensors = {k: v.to(device) for k, v in {**images, **texts}.items()}
            return self.model(**tensors, **more)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"the model failed on an image and a text: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error

    def _given(self, image: Image.Image) -> Any:
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        return self.stages.inputs(image)

    def _texts(self, texts: list[str]) -> Any:
        """Texts as the pipeline's ``preprocess`` gives them to the model."""
        if self.stages is None:
            raise ModelError("there is no pipeline to ask.")
        blank = Image.new("RGB", (2, 2))
        made = self.stages.inputs(blank, candidate_labels=texts, hypothesis_template="{}")
        return made["text_inputs"][0]

    def claims(self, mask: NDArray[np.bool_]) -> Claims | None:
        if self.stages is None or self._words is not None:
            return None
        labels, outputs = self.arguments["candidate_labels"], self.outputs_of(mask)
        image = self.masked_input(mask)["image"]
        said = self.stages.answer(image, candidate_labels=labels)
        made = [
            (label, float(class_score(outputs, i, "probability", applied=self._applied)[0]))
            for i, label in enumerate(labels)
        ]
        return scores_beside(said, made)

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return image_tokens(self.model.config)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        masks = unpacked(items, self.n_features)
        split = self.features.text_start
        image = self._image_embedding(self._masked.pixels(masks[:, :split]))
        if self._words is None:
            return self._logits(image, self._labels)
        texts, place = np.unique(masks[:, split:], axis=0, return_inverse=True)
        text = self._text_embedding(self._words.masked.items(texts))[place.reshape(-1)]
        similarity = (image * text).sum(-1, keepdim=True)
        if not self._pairs:
            return torch.cat([similarity, self._scaled(similarity)], dim=1)
        return self._losses(image, text)[:, None]

    def score(self, outputs: FloatArray) -> FloatArray:
        if self._words is None:
            index = self.target.index or 0
            return class_score(outputs, index, self._value, applied=self._applied)
        if callable(self._value):
            return class_score(outputs, 0, self._value)
        column: FloatArray = outputs[:, 1 if self.target.kind == "logit" else 0]
        return column

    def _losses(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """The contrastive loss of the batch of each masked pair and the others, (b,)."""
        images, texts = self._others
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

    def _logits(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self._scaled(left @ right.T)

    def _processed(self, images: list[Image.Image]) -> torch.Tensor:
        made = self._pipe.image_processor(images=images, return_tensors="pt")
        pixels: torch.Tensor = made["pixel_values"]
        return pixels

    def _image_embedding(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(model_device(self.model), self.model.dtype)
        return _unit(self.model.get_image_features(pixel_values=pixels))

    def _text_embedding(self, items: Sequence[bytes]) -> torch.Tensor:
        rows, typed = token_arrays(items)
        pad, device = self._pipe.tokenizer.pad_token_id or 0, model_device(self.model)
        if self._sigmoid:  # one row more, as long as the pipeline pads all of them
            rows = [*rows, np.full(_SIGLIP_LENGTH, pad, dtype=np.int64)]
        inputs = padded(rows, pad, "right", device, types=typed)
        kept = {k: v[: len(items)] for k, v in inputs.items() if k in self._text_names}
        return _unit(self.model.get_text_features(**kept))

    @cached_property
    def _text_names(self) -> set[str]:
        """What the pipeline's tokenizer gives the model of a text."""
        return set(self._texts(["a"]).keys())

    @cached_property
    def _labels(self) -> torch.Tensor:
        """The embeddings of the candidate labels, each in its hypothesis."""
        template = self.arguments["hypothesis_template"]
        return self._embedded([template.format(x) for x in self.arguments["candidate_labels"]])

    @cached_property
    def _others(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The embeddings of the other pairs' images and texts."""
        images = []
        with evaluating(self.model):
            for start in range(0, len(self._pairs), 16):
                part = [image for image, _ in self._pairs[start : start + 16]]
                images.append(self._image_embedding(self._processed(part)))
        return torch.cat(images), self._embedded([text for _, text in self._pairs])

    def _embedded(self, texts: list[str]) -> torch.Tensor:
        made = self._texts(texts)
        with evaluating(self.model):
            inputs = {name: value.to(model_device(self.model)) for name, value in made.items()}
            return _unit(self.model.get_text_features(**inputs))


def _images_of(inputs: Any) -> dict[str, torch.Tensor]:
    """Of a pipeline's model inputs, those of the image."""
    return {k: v for k, v in inputs.items() if k not in ("candidate_labels", "text_inputs")}


def _padding(pipe: Any) -> dict[str, Any]:
    """How the pipeline's tokenizer pads and cuts SigLIP's texts."""
    return {"padding": "max_length", "max_length": _text_length(pipe), "truncation": True}


def _unit(features: Any) -> torch.Tensor:
    """An embedding of length one; transformers 5 wraps it with the tower's other outputs."""
    embedding = features if isinstance(features, torch.Tensor) else features.pooler_output
    unit: torch.Tensor = embedding / embedding.norm(dim=-1, keepdim=True)
    return unit


#: The length to which the pipeline pads SigLIP's texts, whatever its model.
_SIGLIP_LENGTH = 64


def _text_length(pipe: Any) -> int | None:
    """Tokens of a caption that the model takes."""
    if "siglip" in str(pipe.model.config.model_type):
        return _SIGLIP_LENGTH
    config = getattr(pipe.model.config, "text_config", pipe.model.config)
    found = getattr(config, "max_position_embeddings", None)
    return found if isinstance(found, int) else None


def _read(
    value: Any, pipe: Any
) -> tuple[Any, str | None, Sequence[str], Sequence[Any], str | None]:
    known = {"image", "text", "candidate_labels", "others", "hypothesis_template"}
    fits = isinstance(value, Mapping) and "image" in value and set(value) <= known
    own = pipe._preprocess_params.get("candidate_labels")
    if fits and own is not None and not {"text", "candidate_labels"} & set(value):
        value = {**value, "candidate_labels": own}
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
    if "text" not in value and value.get("others"):
        raise InputError("'others' has no meaning beside 'candidate_labels': give a 'text'.")
    template = value.get("hypothesis_template")
    return value["image"], text, labels, value.get("others", ()), template


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _brief(value: Any) -> str:
    return str(sorted(map(str, value))) if isinstance(value, Mapping) else type(value).__name__

"""image-classification: a number made of the class logits of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from proxyspex_hf.core.masks import BoolArray, as_masks
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.hf.evaluating import model_device
from proxyspex_hf.hf.masked_image import MaskedImage, open_image
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.stages import Stages
from proxyspex_hf.hf.targets import class_score
from proxyspex_hf.hf.tasks.classification import class_target, function_applied
from proxyspex_hf.hf.value_function import BoundInput, packed, unpacked

__all__ = ["ImageClassification", "image_tokens"]


class ImageClassification(BoundInput):
    """The set function of one image under an image-classification pipeline.

    A mask's value is made of what ``pipe(f.masked_input(mask), function_to_apply="none")`` gives:
    by default the logit of the label that the whole image gets.

    Raises:
        InputError: no image, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        self.model, self.batch_size = pipe.model, options.batch_size
        self._value = options.value
        processor = pipe.image_processor

        def processed(images: list[Image.Image]) -> torch.Tensor:
            pixels: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
            return pixels

        self._masked = MaskedImage(
            open_image(value), processed, processor, options.patches, options.image_masking
        )
        self.features, self.picture = self._masked.features(), self._masked.picture
        self.image_masking = options.image_masking
        self._applied = function_applied(Stages(pipe))
        self.target = class_target(self, options, self._applied)

    def items(self, masks: BoolArray) -> list[bytes]:
        return packed(as_masks(masks, self.n_features))

    def size(self, _item: bytes) -> int:
        return image_tokens(self.model.config)

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        pixels = self._masked.pixels(unpacked(items, self.n_features))
        logits: torch.Tensor = self.model(
            pixel_values=pixels.to(model_device(self.model), self.model.dtype)
        ).logits
        return logits

    def score(self, outputs: FloatArray) -> FloatArray:
        return class_score(outputs, self.target.index or 0, self._value, applied=self._applied)

    def masked_input(self, mask: NDArray[np.bool_]) -> Image.Image:
        return self._masked.masked_image(as_masks(mask, self.n_features, "mask")[0])


def image_tokens(config: Any) -> int:
    """About how many tokens an image is for a model; 197 where it does not say."""
    vision = getattr(config, "vision_config", config)
    edge, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if isinstance(edge, int) and isinstance(patch, int) and patch > 0:
        return (edge // patch) ** 2 + 1
    return 197

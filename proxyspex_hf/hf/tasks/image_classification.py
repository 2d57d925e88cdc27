"""image-classification: a number made of the class logits of one image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from proxyspex_hf.checks import as_masks
from proxyspex_hf.errors import InputError, ModelError
from proxyspex_hf.hf.cropped import crop_notes
from proxyspex_hf.hf.masked_image import MaskedImage, open_image
from proxyspex_hf.hf.model_inputs import differ
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.tasks.signal_classification import SignalClassification
from proxyspex_hf.hf.value_function import unpacked

#: How far, relative to the range of the pixels, an array may be read from the image made of it.
_HALF_STEP = 0.5 / 255


class ImageClassification(SignalClassification):
    """The set function of one image under an image-classification pipeline.

    A mask's value is made of what ``pipe(f.masked_input(mask), function_to_apply="none")`` gives:
    by default the logit of the label that the whole image gets.

    Raises:
        InputError: no image, or an option that does not fit it.
    """

    def __init__(self, pipe: Any, value: Any, options: FeatureOptions) -> None:
        super().__init__(pipe, options)
        self._dtype = getattr(pipe, "dtype", None) or torch.float32
        image = open_image(value, timeout=self.stages.preprocess.get("timeout"))
        given = self.stages.inputs(image)
        if isinstance(value, (np.ndarray, torch.Tensor)):
            given = self._given_array(value, given)
        self.image_masking = options.image_masking
        pixels_alone = isinstance(given, Mapping) and set(given) == {"pixel_values"}
        for as_read in (True, False) if pixels_alone else (False,):
            self._mask(image, pipe.image_processor, options, as_read=as_read)
            if self.answers_as(given):
                break
        else:
            raise InputError(
                "the pipeline answers this image otherwise than the same image as RGB, or answers "
                "it differently each time it is asked: its masked forms cannot be compared."
            )
        self.notes = crop_notes(pipe.image_processor, image)
        if not self._masked.held:
            self.arguments = {"image_size": list(image.size)}
        self.aim(options)

    def _given_array(self, value: Any, read: Any) -> Any:
        """What the pipeline makes of an array, which must be what it makes of the same image."""
        try:
            given = self.stages.inputs(value)
        except ModelError as error:
            said = str(error).removesuffix(".")
            raise InputError(f"{said}. Give a PIL image or the path of a file.") from error
        if differ(read, given, _HALF_STEP):
            raise InputError(
                "this pipeline's processor does not read the array as the image that it shows (it "
                f"takes values of 0 to 255, got {value.dtype}): give an array of uint8 (height, "
                "width, 3), a PIL image or the path of a file."
            )
        return given

    def _mask(
        self, image: Image.Image, processor: Any, options: FeatureOptions, *, as_read: bool
    ) -> None:
        def processed(images: list[Image.Image]) -> torch.Tensor:
            pixels: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
            return pixels

        self._masked = MaskedImage(
            image, processed, processor, options.patches, options.image_masking, as_read=as_read
        )
        self.features, self.picture = self._masked.features(), self._masked.picture
        self._fast = self._masked.composes
        self.__dict__.pop("whole", None)

    def size(self, _item: bytes) -> int:
        return image_tokens(self.model.config)

    def variants(self) -> Sequence[Callable[[], None]]:
        """Pixels put together from those of a few images, or each image read by the pipeline."""
        ways = (True, False) if self._masked.composes else (False,)
        return [lambda way=way: setattr(self, "_fast", way) for way in ways]  # type: ignore[misc]

    def outputs(self, items: Sequence[bytes]) -> torch.Tensor:
        if not self._fast:
            return super().outputs(items)
        pixels = self._masked.pixels(unpacked(items, self.n_features)).to(self._dtype)
        batch = {"pixel_values": pixels}
        return self.read(self.stages.run(batch), batch)

    def masked_input(self, mask: NDArray[np.bool_]) -> Image.Image:
        return self._masked.masked_image(as_masks(mask, self.n_features, "mask")[0])


def image_tokens(config: Any) -> int:
    """About how many tokens an image is for a model; 197 where it does not say."""
    vision = getattr(config, "vision_config", config)
    edge, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if isinstance(edge, int) and isinstance(patch, int) and patch > 0:
        return (edge // patch) ** 2 + 1
    return 197

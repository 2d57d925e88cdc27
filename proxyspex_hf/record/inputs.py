"""What is explained: the features that masks switch, and the image and the text they lie in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from proxyspex_hf.errors import InputError

TextKind = Literal["words", "sentences", "tokens", "spans", "documents"]
RegionKind = Literal["patches", "superpixels", "segments"]
FeatureKind = Literal[TextKind, RegionKind, "features"]
ImageMasking = Literal["zero", "mean", "blur"]

#: Half of a pair of code units, which no encoding can hold.
_HALF = re.compile("[\ud800-\udfff]")

#: A closed outline along pixel edges: (x, y) corners, each step horizontal or vertical.
Ring = tuple[tuple[int, int], ...]
#: Pixels inside an odd number of its rings.
Region = tuple[Ring, ...]


def check_text(text: str, what: str) -> None:
    """Refuse what could be explained, and then neither written nor shown.

    Raises:
        InputError: it holds half a character.
    """
    half = None if text.isascii() else _HALF.search(text)
    if half is not None:
        raise InputError(
            f"{what} holds half a character ({half.group()!r}) at position {half.start()}: no file "
            "can hold it. Decode the text again, or replace it."
        )


@dataclass(frozen=True)
class Features:
    """What a mask switches: regions of the image first, then disjoint pieces of the text in
    reading order. Most inputs have only one of the two; a plain set function has neither.

    Attributes:
        labels: (n,) the name of each feature, as a reader sees it; for a piece of text, the text.
        spans: half-open character ranges into the text; pieces and gaps rebuild it exactly. They
            belong to the last ``len(spans)`` features.
        kind: how the text was divided; without text, what the regions are; ``"features"`` where
            the masks belong to a plain function.
        regions: outlines in the image, of the first ``len(regions)`` features.
        region_kind: what the regions are, None without any.
    """

    labels: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    kind: FeatureKind
    regions: tuple[Region, ...] = ()
    region_kind: RegionKind | None = None

    def __post_init__(self) -> None:
        placed = len(self.regions) + len(self.spans)
        if not self.labels or (len(self.labels) != placed and self.kind != "features"):
            raise InputError(
                "features need one label per span or region and at least one of them, got "
                f"{len(self.labels)} labels and {len(self.spans)} spans, "
                f"{len(self.regions)} regions."
            )
        if self.kind == "features" and placed:
            raise InputError("features of a plain function have neither spans nor regions.")
        if (self.region_kind is None) != (not self.regions):
            raise InputError("regions need a region_kind, and a region_kind needs regions.")
        if not self.spans and self.regions and self.kind != self.region_kind:
            raise InputError(f"kind is {self.kind!r}, but the features are {self.region_kind}.")
        for label in self.labels:
            check_text(label, "a feature's text")
        position = 0
        for start, stop in self.spans:
            if not position <= start < stop:
                raise InputError(
                    "spans must be ordered, disjoint and not empty; "
                    f"({start}, {stop}) follows position {position}."
                )
            position = stop
        for region in self.regions:
            for ring in region:
                if len(ring) < 4 or any(
                    (x == u) == (y == v)
                    for (x, y), (u, v) in zip(ring, (*ring[1:], ring[0]), strict=True)
                ):
                    raise InputError(
                        "a region's outline needs four corners or more, each straight above or "
                        f"beside the one before; got {ring[:4]}."
                    )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patches, by where they begin; (0, 0) without regions."""
        begins = [min(corner for ring in region for corner in ring) for region in self.regions]
        return len({y for _, y in begins}), len({x for x, _ in begins})

    @property
    def division(self) -> int | tuple[int, int] | str:
        """How the regions were made, as the option ``patches``."""
        if self.region_kind == "superpixels":
            return "superpixels"
        return len(self.regions) if self.region_kind == "segments" else self.grid

    @property
    def text_start(self) -> int:
        """Index of the first feature that is a piece of the text."""
        return len(self.regions)


@dataclass(frozen=True)
class Picture:
    """The image of an input as the model reads it (for sound, its drawn waveform).

    Attributes:
        png: the image as one PNG file.
        width, height: its size in pixels.
    """

    png: bytes
    width: int
    height: int

    def __post_init__(self) -> None:
        header = self.png[:24]
        size = (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big"))
        if header[:8] != b"\x89PNG\r\n\x1a\n" or header[12:16] != b"IHDR":
            raise InputError("the picture is not a PNG file.")
        if size != (self.width, self.height) or min(size) < 1:
            raise InputError(
                f"the picture's PNG has {size[0]} x {size[1]} pixels, not "
                f"{self.width} x {self.height}."
            )

    def __repr__(self) -> str:
        return f"Picture({self.width} x {self.height}, {len(self.png):,} bytes)"


@dataclass(frozen=True)
class Part:
    """A named range of the text: ``instruction``, ``question``, ``title``, the second of a pair …

    Attributes:
        name: what it is.
        start, stop: half-open character range.
    """

    name: str
    start: int
    stop: int

"""What a processor cuts off of a picture is dimmed, and said, wherever the picture is shown."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from record_factory import captioned_record, review_record
from tiny_pipelines import image_classifier, picture

from proxyspex_hf import InteractionExplainer
from proxyspex_hf.record.inputs import Picture
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.viz import render_html
from proxyspex_hf.viz.picture import render_picture, render_picture_png
from proxyspex_hf.viz.reading import CUT, cut
from proxyspex_hf.viz.view import story_data, view


def cropped_record() -> ExplanationRecord:
    """Of 12 x 4 black pixels, the 6 x 4 in the middle are read."""
    record, stream = captioned_record(), io.BytesIO()
    Image.new("RGB", (12, 4)).save(stream, "PNG")
    regions = tuple(
        tuple(tuple((x + 3, y) for x, y in ring) for ring in region)
        for region in record.features.regions
    )
    return replace(
        record,
        picture=Picture(stream.getvalue(), 12, 4),
        features=replace(record.features, regions=regions),
    )


def test_the_margin_is_what_no_region_holds() -> None:
    found = cut(cropped_record())
    assert found is not None
    assert found[0][1] == ((3, 0), (9, 0), (9, 4), (3, 4))
    assert found[1] == "M0 0L12 0L12 4L0 4ZM3 0L9 0L9 4L3 4Z"
    assert cut(captioned_record()) is None
    assert cut(review_record()) is None


def test_the_page_dims_it_and_says_why() -> None:
    page = render_html(cropped_record())
    assert (
        page.count(f'<path class="cut" fill-rule="evenodd" d="{cut(cropped_record())[1]}"/>') == 1
    )
    assert f'<p class="fine">{CUT}</p>' in page
    for data in (view(cropped_record()), story_data(cropped_record())):
        assert data["cut"] == [cut(cropped_record())[1], CUT]
    whole = render_html(captioned_record())
    assert CUT not in whole
    assert view(captioned_record())["cut"] is None


def test_the_picture_dims_it_and_says_why() -> None:
    svg = render_picture(cropped_record())
    bars = [e for e in ET.fromstring(svg).iter() if e.get("fill-opacity") == "0.65"]
    assert len(bars) == 2  # left and right
    assert all(e.get("stroke") is None for e in bars)
    said = " ".join(ET.fromstring(svg).itertext())
    assert re.sub(r"\s+", " ", CUT) in re.sub(r"\s+", " ", said)
    with Image.open(io.BytesIO(render_picture_png(cropped_record(), scale=1))) as opened:
        pixels = np.asarray(opened.convert("L")).astype(int)
    # The image is 704 pixels wide: a quarter on either side is no longer black.
    row = next(i for i in range(100, 400) if (pixels[i, 300:460] < 120).mean() > 0.2)
    assert pixels[row, 40:190].min() > 150
    assert pixels[row, 580:720].min() > 150


@pytest.mark.filterwarnings("ignore:The processor reads the middle")
def test_a_cropping_pipelines_explanation_has_its_margin() -> None:
    explainer = InteractionExplainer(image_classifier(), patches=(2, 2), progress=False)
    record = explainer(picture(96, 64), budget=16).record
    assert (record.picture.width, record.picture.height) == (48, 32)
    assert cut(record)[0][1] == ((8, 0), (40, 0), (40, 32), (8, 32))

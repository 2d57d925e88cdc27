"""What a page needs to say how sure any prediction is, where no Python can be asked."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from proxyspex_hf.core.posterior import Posterior
from proxyspex_hf.core.proxies.kernel import JITTER
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import doubt_to_json

#: Masks whose covariance the page factors: half a second of a browser.
_MOST_FACTORED = 1_000
#: Of a term of a sibling's spectrum as JSON: three members and a coefficient.
_TERM_BYTES = 30


def doubt_data(record: ExplanationRecord, most_bytes: int | None = None) -> dict[str, Any] | None:
    """The posterior's kernel, the masks that it is conditioned on as bits (1 = kept, rows padded to
    bytes) and its weights, in base64; None where there is no posterior, or where that would be
    more than ``most_bytes``.

    Of more than 1,000 masks, every so many (``stride``) tell the page how wide an interval is: it
    is wider than Python's, never narrower.
    """
    posterior = record.posterior
    if not isinstance(posterior, Posterior):
        return None
    masks = np.packbits(posterior.rows < 0, axis=1)
    weights = posterior.weights
    kernel, doubt = posterior.doubt.kernel, posterior.doubt
    told = None if kernel.sibling is None else kernel.sibling.spectrum
    size = masks.nbytes + weights.nbytes + (0 if told is None else _TERM_BYTES * len(told))
    if (most_bytes is not None and size > most_bytes) or not posterior.is_sound:
        return None
    return {
        **doubt_to_json(doubt),
        "jitter": JITTER,
        "stride": math.ceil(len(masks) / _MOST_FACTORED),
        "masks": base64.b64encode(masks.tobytes()).decode("ascii"),
        "weights": base64.b64encode(weights.astype("<f8").tobytes()).decode("ascii"),
    }

"""SPEX, ProxySPEX's predecessor, through its authors' package ``sparse-transform``.

SPEX fits no proxy: it asks structured masks whose answers alias the spectrum into a few bins, and
decodes each bin with a BCH code (Kang et al., 2025). It therefore chooses its own masks and stands
beside the sampling step instead of behind the ``Proxy`` protocol. The coefficients of what it
recovers are then fitted by LASSO, as in the paper (appendix B.1.1).

``sparse-transform`` is optional, and compiles its decoders on first use (about a minute).
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.algorithm import SpectrumFit
from proxyspex_hf.core.masks import MAX_ENUMERATED
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import make_folds
from proxyspex_hf.core.proxies.lasso import Lasso
from proxyspex_hf.core.sets import pack_support
from proxyspex_hf.core.spectrum import FourierSpectrum, parities
from proxyspex_hf.core.values import Cached, ValueFunction
from proxyspex_hf.errors import InputError

#: Groups of masks, as in the authors' experiments.
_SUBSAMPLES = 3


@dataclass(frozen=True)
class SpexFit:
    """What :func:`spex` asked and found.

    Attributes:
        fit: spectrum, cross-validation of the penalty, ``method="spex"``.
        masks, values: (m, n), (m,): the distinct masks asked and their values.
        b, t: bits of a bin's address; errors that the code corrects.
        recovered: coefficients the decoder found, before the LASSO.
    """

    fit: SpectrumFit
    masks: BoolArray
    values: FloatArray
    b: int
    t: int
    recovered: int

    @property
    def spectrum(self) -> FourierSpectrum:
        return self.fit.spectrum


def spex_budget(n_features: int, b: int, *, t: int = 5) -> int:
    """Masks that SPEX asks at ``b``, repeats included; it doubles with each b.

    Raises:
        InputError: ``sparse-transform`` is not installed, or numbers out of range.
    """
    if n_features < 2 or b < 1 or t < 1:
        raise InputError(
            f"SPEX needs at least 2 features and b and t of at least 1, got {n_features} features, "
            f"b={b}, t={t}."
        )
    signal = _package("qsft.signals.input_signal_subsampled").SubsampledSignal
    return int(signal.get_number_of_samples(n_features, b, t, 2, _query(b, t)))


def spex(
    value_function: ValueFunction,
    *,
    budget: int | None = None,
    b: int | None = None,
    t: int = 5,
    max_order: int | None = None,
    n_coefficients: int = 200,
    decoding: Literal["soft", "hard"] = "soft",
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> SpexFit:
    """Ask SPEX's own masks, decode the support, and fit its coefficients.

    Args:
        value_function: asked once for each distinct mask.
        budget: at most so many masks; SPEX takes the largest ``b`` whose masks fit. Give it or
            ``b``.
        b: bits of a bin's address: 2^b bins a group (see :func:`spex_budget`).
        t: largest order that is decoded for certain; more masks for each.
        max_order, n_coefficients: limits on the spectrum, as in ``ProxySPEX``.
        decoding: ``"soft"`` finds more, ``"hard"`` is quicker.

    Raises:
        InputError: ``sparse-transform`` is not installed, a budget too small for b = 1, both or
            neither of ``budget`` and ``b``, or more masks than there are subsets.
        ModelError: the value function gave something unusable.
    """
    n = value_function.n_features
    b = _bits(n, budget, b, t)
    if max_order is not None and max_order < 1:
        raise InputError(f"max_order must be at least 1 or None, got {max_order}.")
    if decoding not in ("soft", "hard"):
        raise InputError(f"decoding must be 'soft' or 'hard', got {decoding!r}.")
    asked: list[BoolArray] = []

    def collect(rows: Any) -> FloatArray:
        asked.append(np.asarray(rows) != 0)
        return np.zeros(len(rows))

    # Once without the model to learn the masks, so that all are asked together and the values'
    # scale is known: the decoder's thresholds are absolute.
    _signal(collect, n, b, t, seed)
    masks = np.unique(np.concatenate(asked), axis=0)
    known = value_function if isinstance(value_function, Cached) else Cached(value_function)
    values = known(masks, progress)
    level, scale = float(values.mean()), float(np.abs(values - values.mean()).max())
    if scale <= 1e-12 * abs(level):
        constant = FourierSpectrum.from_dict({(): level}, n)
        return SpexFit(SpectrumFit(constant, None, "constant", "none"), masks, values, b, t, 0)
    standard = (values - level) / scale
    spread = float(standard.std())
    standard /= spread
    answers = dict(zip((row.tobytes() for row in masks), standard.tolist(), strict=True))

    def answer(rows: Any) -> FloatArray:
        return np.array([answers[row.tobytes()] for row in np.asarray(rows) != 0])

    report = Reporter(progress, "decoding", 2)
    found = _decode(_signal(answer, n, b, t, seed), n, b, t, decoding, seed)
    report.advance()
    limit = n if max_order is None else max_order
    kept = {members for members in found if 0 < len(members) <= limit}
    # All single features beside them, as the authors do: an additive part is never missed.
    terms = sorted(kept | {(i,) for i in range(n)}, key=lambda members: (len(members), members))
    support = pack_support(terms)
    design = parities(masks, support).T.astype(np.float64)
    folds = make_folds(len(masks), 5, np.random.default_rng(seed))
    lasso = Lasso().search(design, standard, folds)
    fitted = FourierSpectrum.from_arrays(support, lasso.model.weights, n)
    coefficients = fitted.coefficients * spread * scale
    coefficients[0] = lasso.model.intercept * spread * scale + level
    spectrum = fitted.with_coefficients(coefficients)
    spectrum = spectrum.select(np.flatnonzero(spectrum.coefficients)).top(n_coefficients)
    report.advance()
    how = f"LASSO on {len(kept)} recovered terms and the single features"
    return SpexFit(SpectrumFit(spectrum, lasso.cv, "spex", how), masks, values, b, t, len(kept))


def _bits(n: int, budget: int | None, b: int | None, t: int) -> int:
    if (budget is None) == (b is None):
        raise InputError(f"give budget or b, and one only (got budget={budget}, b={b}).")
    if b is None:
        least = spex_budget(n, 1, t=t)
        if budget is None or budget < least:
            raise InputError(
                f"budget={budget} is too small for SPEX: {n} features at t={t} need at least "
                f"{least} masks. Raise budget, lower t, or use ProxySPEX."
            )
        b = 1
        while spex_budget(n, b + 1, t=t) <= budget and b < n:
            b += 1
    size = spex_budget(n, b, t=t)
    if b > n or (n <= MAX_ENUMERATED and size >= 2**n):
        raise InputError(
            f"SPEX would ask {size} masks of {n} features, which have {2**n} subsets: ask them all "
            "(ProxySPEX then takes the exact transform), or lower b or t."
        )
    return b


def _package(module: str) -> Any:
    try:
        return importlib.import_module(f"sparse_transform.{module}")
    except ModuleNotFoundError as error:
        raise InputError(
            "SPEX needs the package sparse-transform, which is not installed: "
            "pip install sparse-transform"
        ) from error


def _query(b: int, t: int) -> dict[str, Any]:
    """The settings of the authors' experiments: joint-coded delays, one channel, no repeats."""
    return {
        "query_method": "complex",
        "num_subsample": _SUBSAMPLES,
        "delays_method_source": "joint-coded",
        "subsampling_method": "qsft",
        "delays_method_channel": "identity-siso",
        "num_repeat": 1,
        "b": b,
        "all_bs": [b],
        "t": t,
    }


@contextmanager
def _contained(seed: int) -> Iterator[None]:
    """The package draws from numpy's global generator, logs to the root logger and warns."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    state = np.random.get_state()  # noqa: NPY002  (seeding it is the only way in; put back below)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)


def _signal(ask: Callable[[Any], FloatArray], n: int, b: int, t: int, seed: int) -> Any:
    signal = _package("qsft.signals.input_signal_subsampled").SubsampledSignal
    with _contained(seed):
        return signal(func=ask, n=n, q=2, query_args=_query(b, t))


def _decode(
    signal: Any, n: int, b: int, t: int, decoding: str, seed: int
) -> dict[tuple[int, ...], float]:
    code = _package("qsft.codes.BCH").BCH(n, t)
    soft = decoding == "soft"
    decoder = code.parity_decode
    if soft:
        decoder = partial(code.parity_decode_2chase_t2_max_likelihood, chase_depth=2 * t)
    with _contained(seed):
        found = _package("qsft.qsft").transform(
            signal,
            reconstruct_method_source="coded",
            reconstruct_method_channel="identity-siso" if soft else "identity",
            b=b,
            num_subsample=_SUBSAMPLES,
            num_repeat=1,
            source_decoder=decoder,
        )
    return {
        tuple(np.flatnonzero(members).tolist()): float(np.real(value))
        for members, value in found.items()
    }

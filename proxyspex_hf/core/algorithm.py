"""ProxySPEX: from masks and values to a sparse spectrum (paper, section 3.3), on one page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, get_args

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_integer, as_masks, as_numbers, one_of
from proxyspex_hf.core.baselines.forest import RandomForest
from proxyspex_hf.core.baselines.network import NeuralNetwork
from proxyspex_hf.core.masks import MAX_ENUMERATED, all_masks, distinct
from proxyspex_hf.core.posterior import Doubt, Posterior
from proxyspex_hf.core.progress import ProgressCallback, Reporter
from proxyspex_hf.core.proxies.base import (
    CVReport,
    Folds,
    HasKernel,
    Projects,
    Proxy,
    ProxyFit,
    left_out_predictions,
    make_folds,
)
from proxyspex_hf.core.proxies.blend import Blend
from proxyspex_hf.core.proxies.boosting import BoostedTrees
from proxyspex_hf.core.proxies.enumerate import EstimatedExtraction
from proxyspex_hf.core.proxies.gaussian import GaussianProcess
from proxyspex_hf.core.proxies.kernel import MaskKernel, learn_kernel, signs
from proxyspex_hf.core.proxies.lasso import Lasso
from proxyspex_hf.core.proxies.pursuit import Pursuit
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.refine import RefineMethod, refine
from proxyspex_hf.core.sparsify import (
    Elsewhere,
    KnownSpectrum,
    Projectable,
    mask_densities,
    sparsify,
)
from proxyspex_hf.core.spectrum import FourierSpectrum, energy_of, finite
from proxyspex_hf.core.threads import one_blas_thread
from proxyspex_hf.core.values import level_and_scale
from proxyspex_hf.core.walsh import exact_terms
from proxyspex_hf.errors import InputError

#: Proxies by name; adding one is an entry here and a file beside ``boosting``.
PROXIES: dict[str, Proxy] = {
    "blend": Blend(),
    "gaussian": GaussianProcess(),
    "pursuit": Pursuit(),
    "boosting": BoostedTrees(),
    "paper": BoostedTrees.paper(),
    "lasso": Lasso(),
    "forest": RandomForest(),
    "network": NeuralNetwork(),
}

#: Masks from which the kernel of the intervals is learnt, as the Gaussian process does.
_LEARN_ON = 600
#: Coefficients kept by default; ``python tests/bench/curve.py`` shows what fewer cost.
_COEFFICIENTS = 500
#: Where terms miss this share of the proxy's variance, they are chosen again, among this many for
#: each one that is kept, which takes seconds. Of the models of ``tests/bench/tasks.py``, embeddings
#: and answers miss 2 to 12% and gain, the others miss at most 0.6%.
_MISSED, _WIDE_POOL = 0.01, 16
#: Where they miss this share, and less than half of it once the value of the whole input is let go,
#: it is: coming near it is not worth being wrong about all other masks
#: (``python tests/bench/whole_input.py --apart 0 4``).
_PRICE = 0.15
#: Masks that keep more than this share are near the whole input (convention), and tell whether its
#: value is like theirs.
_NEAR = 0.8
#: What the refinement says then.
APART = ", the whole input apart"
#: The paper's number of coefficients (section 3.3, step 3: 200 lose nothing on uniform masks).
_PAPER_COEFFICIENTS = 200


@dataclass(frozen=True)
class SpectrumFit:
    """What :meth:`ProxySPEX.fit` found.

    Attributes:
        spectrum: the explanation: sparse and refined.
        cv: every configuration of the proxy that was tried; None where the fit is exact.
        method: ``"exact"``, ``"constant"``, or the proxy's name.
        refinement: what was done to the extracted coefficients, or ``"none"``.
        dropped_energy: bound on the energy that the extraction guard left out; where the spectrum
            is ``estimated``, the proxy's variance that the estimate misses, as measured.
        estimated: the proxy has no spectrum that can be read off it, so ``spectrum`` rests on an
            estimate (a neural network of more than 20 features); ``predict`` is the proxy itself.
        cv_r2: cross-validated R² of the proxy; None where the fit is exact.
        left_out: (m,) what the explanation would say of each mask without having seen its value;
            None where the fit is exact.
        doubt: the Gaussian process from which intervals come, whatever the proxy; None where the
            fit is exact.
    """

    spectrum: FourierSpectrum
    cv: CVReport | None
    method: str
    refinement: str
    dropped_energy: float = 0.0
    estimated: bool = False
    left_out: FloatArray | None = None
    doubt: Doubt | None = None
    _dense: ProxyFit | FourierSpectrum | None = field(default=None, repr=False)
    _scale: tuple[float, float] = (0.0, 1.0)
    _columns: Any = field(default=None, repr=False)

    @property
    def cv_r2(self) -> float | None:
        return None if self.cv is None else self.cv.r2

    def predict(self, masks: Any) -> FloatArray:
        """The proxy itself, before sparsification: (m, n) -> (m,).

        Compare with ``spectrum.evaluate`` to see what sparsifying and refining changed.
        """
        rows = as_masks(masks, self.spectrum.n_features)
        if self._dense is None:
            return self.spectrum.evaluate(rows)
        if self._columns is not None:
            rows = rows[:, self._columns]
        if isinstance(self._dense, FourierSpectrum):
            return self._dense.evaluate(rows)
        level, scale = self._scale
        return level + scale * self._dense.predict(rows)


@dataclass(frozen=True)
class _Sparse:
    spectrum: FourierSpectrum
    refinement: str
    dropped_energy: float = 0.0
    estimated: bool = False


@dataclass(frozen=True)
class ProxySPEX:
    """The algorithm with its settings.

    Attributes:
        proxy: ``"blend"`` (the others of this line by cross-validation), ``"gaussian"``,
            ``"pursuit"``, ``"boosting"``; ``"paper"``, boosting with the paper's grid; the paper's
            alternatives ``"lasso"`` (single features only), ``"forest"`` and ``"network"``; or any
            object with the ``Proxy`` protocol. :meth:`paper` has the paper's other settings too.
        n_coefficients: k, at most how many coefficients besides ∅ to keep.
        max_order: largest order to keep; None for no limit.
        refine: ``"project"`` chooses the terms, and sets their coefficients, to be nearest to the
            proxy at the densities of the masks. ``"lasso"`` (the paper's) takes the largest and
            fits them to the values again where cross-validation says so; ``"none"`` takes them as
            they are.
        n_folds: folds of the cross-validation.
        seed: of everything random.
        start: a kernel learnt from an earlier, similar function: where a Gaussian process begins,
            and what it holds likely beforehand.
        sibling: what a cheaper model says of the same features: what a Gaussian process explains
            the differences to. Needs ``"blend"`` or ``"gaussian"``.
        doubt: whether to learn the Gaussian process that intervals come from, where the proxy has
            none.

    Example:
        >>> ProxySPEX().fit(all_masks(3), all_masks(3)[:, 0]).spectrum.to_dict()
        {(): 0.5, (0,): -0.5}
    """

    proxy: str | Proxy = "blend"
    n_coefficients: int = _COEFFICIENTS
    max_order: int | None = None
    refine: RefineMethod = "project"
    n_folds: int = 5
    seed: int = 0
    doubt: bool = True
    start: MaskKernel | None = None
    sibling: Sibling | None = None

    def __post_init__(self) -> None:
        if isinstance(self.proxy, str) and self.proxy not in PROXIES:
            raise InputError(f"unknown proxy {self.proxy!r}; choose from {', '.join(PROXIES)}.")
        if not isinstance(self.proxy, str) and not callable(getattr(self.proxy, "fit", None)):
            raise InputError(
                f"proxy must be a name or have the Proxy protocol, got {self.proxy!r}."
            )
        for name, least, most in (
            ("n_coefficients", 1, 10**6),
            ("max_order", 1, 10**5),
            ("n_folds", 2, 10**4),
            ("seed", 0, 2**63 - 1),
        ):
            value = getattr(self, name)
            if value is not None or name != "max_order":
                object.__setattr__(self, name, as_integer(name, value, least, most))
        one_of("refine", self.refine, get_args(RefineMethod))
        if self.sibling is not None:
            self.check_takes_sibling()

    def check_takes_sibling(self) -> None:
        """Raises: InputError: the proxy cannot explain the difference to a sibling."""
        if not self.takes_sibling:
            raise InputError(
                f"a sibling needs proxy='blend' or 'gaussian', got {self.proxy!r}: others cannot "
                "explain the difference to it."
            )

    @property
    def takes_sibling(self) -> bool:
        """Whether the proxy can explain the difference to a sibling."""
        return isinstance(self._given, (Blend, GaussianProcess))

    @property
    def _given(self) -> Proxy:
        return PROXIES[self.proxy] if isinstance(self.proxy, str) else self.proxy

    @classmethod
    def paper(cls, **changes: Any) -> ProxySPEX:
        """The paper to the letter (section 3.3): its grid of boosted trees, the 200 largest
        coefficients, refined by LASSO.
        """
        settings: dict[str, Any] = {
            "proxy": "paper",
            "n_coefficients": _PAPER_COEFFICIENTS,
            "refine": "lasso",
        }
        return cls(**(settings | changes))

    def fit(
        self,
        masks: Any,
        values: Any,
        *,
        densities: FloatArray | None = None,
        progress: ProgressCallback | None = None,
    ) -> SpectrumFit:
        """Fit a sparse spectrum to the values of masks.

        Args:
            densities: (m,) the keep probability each mask was drawn with, 0 where it was chosen:
                the terms are chosen to be right where masks were drawn. None takes all of them.
            masks: (m, n) bool, 1 = kept. Where all 2^n subsets are among them (n <= 20), their
                exact transform is taken instead of a proxy (of ``"lasso"``, its single features).
                Repeated masks are averaged.
            values: (m,) finite floats.

        Raises:
            InputError: shapes that do not fit, values that are not finite, fewer than 20 masks.
        """
        rows, target, places = distinct(as_masks(masks), values)
        drawn = np.ones(len(rows), dtype=np.bool_)
        if densities is not None:
            shares = as_numbers("densities", densities)
            if shares.shape != places.shape:
                raise InputError(f"densities must have shape {places.shape}, got {shares.shape}.")
            if (shares > 0.0).any():
                drawn[:] = False
                drawn[places[shares > 0.0]] = True
        m, n = rows.shape
        if n <= MAX_ENUMERATED and m == 2**n:
            return self._fit_exact(rows, target)
        # Proxies see values of mean 0 and variance 1, whatever the model's units.
        level, scale = level_and_scale(target)
        if scale == 0.0:
            constant = FourierSpectrum.from_dict({(): level}, n)
            return SpectrumFit(constant, None, "constant", "none")
        varying = np.flatnonzero(rows.any(axis=0) & ~rows.all(axis=0))
        if 0 < len(varying) < n:
            # A feature that never changes has no part in anything.
            shares = drawn.astype(np.float64)
            # A sibling's sets are of all features: of fewer it says something else.
            alone = replace(self, sibling=None)
            inner = alone.fit(rows[:, varying], target, densities=shares, progress=progress)
            doubt = inner.doubt
            if doubt is not None:
                doubt = replace(doubt, kernel=doubt.kernel.widened(varying, n))
            return replace(
                inner,
                spectrum=inner.spectrum.widened(varying, n),
                left_out=None if inner.left_out is None else inner.left_out[places],
                doubt=doubt,
                _columns=varying,
            )
        folds = make_folds(m, self.n_folds, np.random.default_rng(self.seed))
        standard = target / scale - level / scale
        proxy = self._informed()
        # One BLAS thread: sums in another order would change the last bits with the machine.
        with one_blas_thread():
            fitted = proxy.fit(rows, standard, folds, seed=self.seed, progress=progress)
            report = Reporter(progress, "extracting", 1)
            elsewhere = Elsewhere.of(fitted.predict, rows, self.seed)
            found = self._sparse(fitted, rows, standard, folds, drawn, elsewhere)
            kernel = self._kernel(fitted, rows, standard)
            left_out = left_out_predictions(fitted, rows, folds)
            left_out = left_out + elsewhere.change(found.spectrum)
            doubt = None
            if kernel is not None:
                doubt = Doubt(kernel, level, scale)
                off = Posterior(doubt, rows, target).inflation_of(level + scale * left_out)
                doubt = replace(doubt, inflation=off)
            report.advance()
        return SpectrumFit(
            spectrum=found.spectrum.rescaled(level, scale),
            cv=fitted.cv,
            method=self.proxy if isinstance(self.proxy, str) else type(proxy).__name__,
            refinement=found.refinement,
            dropped_energy=finite(found.dropped_energy * scale * scale),
            estimated=found.estimated,
            left_out=(level + scale * left_out)[places],
            doubt=doubt,
            _dense=fitted,
            _scale=(level, scale),
        )

    def _informed(self) -> Proxy:
        """The proxy with what is known beforehand, where it is one that can use it."""
        proxy = self._given
        given = {"start": self.start, "sibling": self.sibling}
        known: dict[str, Any] = {name: each for name, each in given.items() if each is not None}
        if isinstance(proxy, GaussianProcess):
            return replace(proxy, **known)
        if isinstance(proxy, Blend):
            return replace(proxy, gaussian=replace(proxy.gaussian, **known))
        return proxy

    def _sparse(
        self,
        fitted: ProxyFit,
        rows: BoolArray,
        values: FloatArray,
        folds: Folds,
        drawn: BoolArray,
        elsewhere: Elsewhere,
    ) -> _Sparse:
        """The proxy's spectrum with few terms."""
        # A proxy may know more of itself than a list of terms can say.
        if self.refine == "project" and isinstance(fitted, Projects):
            neighbours = _neighbours(fitted, rows, values)
            known = fitted.project(self.max_order)
            return _Sparse(*self._project(known, rows, values, drawn, elsewhere, neighbours))
        extraction = fitted.spectrum(self.max_order)
        if self.refine == "project":
            known = KnownSpectrum(extraction.spectrum, self.max_order)
            found = self._project(known, rows, values, drawn, elsewhere)
        else:
            fold_spectra = fitted.fold_spectra(self.max_order)
            refined = refine(
                extraction.spectrum,
                fold_spectra,
                rows,
                values,
                folds,
                k=self.n_coefficients,
                method=self.refine,
            )
            found = (refined.spectrum, refined.chosen)
        estimated = isinstance(extraction, EstimatedExtraction)
        return _Sparse(*found, extraction.dropped_energy, estimated)

    def _kernel(self, fitted: ProxyFit, rows: BoolArray, values: FloatArray) -> MaskKernel | None:
        """Of the intervals: the proxy's own, or one learnt for them."""
        if isinstance(fitted, HasKernel):
            return fitted.kernel
        if not self.doubt:
            return None
        order = np.random.default_rng(self.seed).permutation(len(rows))[:_LEARN_ON]
        return learn_kernel(signs(rows[order]), values[order], likely=self.start)

    def _project(
        self,
        proxy: Projectable,
        rows: BoolArray,
        values: FloatArray,
        drawn: BoolArray,
        elsewhere: Elsewhere,
        neighbours: FloatArray | None = None,
    ) -> tuple[FourierSpectrum, str]:
        # A limit on the order may leave nothing that could meet the full input, but at all cost.
        met = self.max_order is None and bool(rows.all(axis=1).any())
        nearest = partial(
            sparsify,
            proxy,
            mask_densities(rows[drawn], values[drawn]),
            rows.shape[1],
            k=self.n_coefficients,
            full_value=float(values[rows.all(axis=1)][0]) if met else None,
            neighbours=neighbours if met else None,
        )
        spectrum = nearest()
        if elsewhere.missed(spectrum, drawn) > _MISSED:
            spectrum = nearest(pool=_WIDE_POOL)
        # A proxy that is a list of terms itself says nothing of what terms cannot.
        if met and neighbours is not None:
            parts = (drawn, rows.mean(axis=1) > _NEAR)
            missed = elsewhere.most_missed(spectrum, parts)
            if missed > _PRICE:
                free = nearest(pool=_WIDE_POOL, full_value=None)
                if elsewhere.most_missed(free, parts) < missed / 2.0:
                    return free, f"projected onto {len(free) - 1} terms{APART}"
        return spectrum, f"projected onto {len(spectrum) - 1} terms"

    def _fit_exact(self, masks: BoolArray, values: FloatArray) -> SpectrumFit:
        n = masks.shape[1]
        position = masks @ (1 << np.arange(n))
        table = np.empty(len(values))
        table[position] = values
        dense, terms = exact_terms(table)
        sparse = terms
        # What can only add up stays additive: of all subsets, single features are its best fit.
        most = 1 if isinstance(self._given, Lasso) else self.max_order
        if most is not None:
            sparse = sparse.select(np.flatnonzero(sparse.orders <= most))
        sparse = sparse.top(self.n_coefficients)
        kept = set(sparse.sets)
        dropped = energy_of(np.array([c for t, c in terms.to_dict().items() if t not in kept]))
        return SpectrumFit(sparse, None, "exact", "none", dropped, _dense=dense)


def _neighbours(fitted: ProxyFit, rows: BoolArray, values: FloatArray) -> FloatArray:
    """(n,) values of the whole input without each feature: as answered, or as the proxy says."""
    n = rows.shape[1]
    out = fitted.predict(~np.eye(n, dtype=np.bool_))
    asked = np.flatnonzero(rows.sum(axis=1) == n - 1)
    out[(~rows[asked]).argmax(axis=1)] = values[asked]
    return out


def enumerated(n_features: int) -> BoolArray:
    """Every mask, the full and the empty one first: what an exact fit asks for."""
    masks = all_masks(n_features)
    return np.concatenate([masks[-1:], masks[:-1]])

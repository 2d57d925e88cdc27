"""InteractionExplainer: from a pipeline and an input to an explanation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, overload

import numpy as np

from proxyspex_hf.core.algorithm import ProxySPEX, as_integer
from proxyspex_hf.core.attribution import Attribution, Plan, attribute, plan
from proxyspex_hf.core.progress import ProgressCallback
from proxyspex_hf.core.proxies.base import Proxy
from proxyspex_hf.core.refine import RefineMethod
from proxyspex_hf.core.removal import RemovalSolution
from proxyspex_hf.core.values import Cached
from proxyspex_hf.errors import InputError, ProxySpexWarning
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.classification import TextClassification
from proxyspex_hf.hf.features import text_features
from proxyspex_hf.hf.masking import Masking
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.provenance import provenance_of
from proxyspex_hf.hf.tasks import bind, task_of
from proxyspex_hf.progress_bar import progress_callback
from proxyspex_hf.record import ExplanationRecord, FeatureKind, FitReport, Queries, Settings

__all__ = ["ExplainerOptions", "InteractionExplainer", "RemovalCheck"]


@dataclass(frozen=True, kw_only=True)
class ExplainerOptions:
    """Everything that may be chosen; the explainer's and each call's keyword arguments.

    About the input:
        features: ``"words"``, ``"sentences"``, ``"tokens"``, or (start, stop) character ranges.
        masking: ``"mask"`` replaces a feature, ``"delete"`` takes it away.
        mask_token: what replaces a feature; default the tokenizer's mask (or unknown) token.
        target: the label to explain, by name or index; default the predicted one.
        batch_size: masked inputs in one forward pass.

    About the effort:
        alpha: inference multiplier: alpha * n * log2(n) masks are fitted (the paper uses 2 to 8);
            default 2. Up to 8 features, all 2^n subsets are then asked instead.
        budget: the exact number of masks to fit, instead of ``alpha``.
        n_test: held-out masks at each of the densities 0.5, 0.7 and 0.9.
        density: share of the features that the fitted masks keep, or several to mix in equal
            parts; 0.5 is the paper's uniform sampling.

    About the explanation:
        n_coefficients: interactions to keep at the most.
        max_order: largest interaction to look for; default no limit.
        proxy, refine: see :class:`proxyspex_hf.core.ProxySPEX`.
        seed: the same seed gives the same explanation, bit for bit.
        progress: True for a bar, False for none, a callable on :class:`Progress`; default a bar
            where a person is looking.
    """

    features: FeatureKind | Sequence[tuple[int, int]] = "words"
    masking: Masking = "mask"
    mask_token: str | None = None
    target: str | int | None = None
    batch_size: int | None = None
    alpha: float | None = None
    budget: int | None = None
    n_test: int = 100
    density: float | Sequence[float] = 0.5
    n_coefficients: int = 200
    max_order: int | None = None
    proxy: str | Proxy = "boosting"
    refine: RefineMethod = "stack"
    seed: int = 0
    progress: bool | ProgressCallback | None = None

    def changed(self, changes: dict[str, Any]) -> ExplainerOptions:
        """These options with some replaced.

        Raises:
            InputError: a name that is not an option.
        """
        known = [field.name for field in fields(self)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise InputError(f"unknown option {unknown[0]!r}; the options are {', '.join(known)}.")
        if changes.get("budget") is not None and "alpha" not in changes:
            changes = {**changes, "alpha": None}
        if changes.get("alpha") is not None and "budget" not in changes:
            changes = {**changes, "budget": None}
        return replace(self, **changes)


@dataclass(frozen=True)
class RemovalCheck:
    """A removal set, what the explanation predicts of it, and what the model says.

    Attributes:
        solution: the set, with the predicted value and the proof of optimality.
        labels: the removed features' texts.
        full: the model's value of the whole input.
        actual: the model's value without the removed features.
    """

    solution: RemovalSolution
    labels: tuple[str, ...]
    full: float
    actual: float

    @property
    def delta(self) -> float:
        """The paper's ΔLLM output, |f([n]) - f(S)| / |f([n])| (equation 4)."""
        return abs(self.full - self.actual) / abs(self.full) if self.full else math.inf

    @property
    def predicted_delta(self) -> float:
        """The same by the explanation, relative to the model's own full value."""
        return abs(self.solution.change) / abs(self.full) if self.full else math.inf


class InteractionExplainer:
    """Explains what a pipeline says by the combinations of features that made it say so.

        explainer = InteractionExplainer(pipe)
        explanation = explainer("The sequel truly elevated the original")

    The pipeline and its model are only called: never moved, recast or changed.

    Args:
        pipe: a transformers pipeline; supported tasks are those in ``proxyspex_hf.hf.tasks``.
        options: see :class:`ExplainerOptions`; each may also be given to a single call.

    Raises:
        InputError: an unknown option.
    """

    def __init__(self, pipe: Any, **options: Any) -> None:
        self.pipe = pipe
        self.options = ExplainerOptions().changed(options)
        self._interrupted: tuple[Any, Cached] | None = None

    @overload
    def __call__(self, inputs: str, **options: Any) -> InteractionExplanation: ...

    @overload
    def __call__(self, inputs: Sequence[str], **options: Any) -> list[InteractionExplanation]: ...

    def __call__(
        self, inputs: str | Sequence[str], **options: Any
    ) -> InteractionExplanation | list[InteractionExplanation]:
        """Explain one text, or a list of them.

        Interrupted (Ctrl-C, or a progress callback that raises), the values already computed are
        kept: the same call again continues from there.

        Raises:
            InputError: an input or option that cannot be used.
            ModelError: the model failed or gave NaN or infinite values.
        """
        chosen = self.options.changed(options)
        if not isinstance(inputs, (list, tuple)):
            return self._explain(inputs, chosen)
        for position, text in enumerate(inputs):
            # Before the first is explained, not after an hour at the fifth.
            try:
                text_features(text, "words")
            except InputError as error:
                raise InputError(f"input {position} of {len(inputs)}: {error}") from error
        return [self._explain(text, chosen) for text in inputs]

    def value_function(self, text: str, **options: Any) -> TextClassification:
        """The set function itself, for one's own algorithm: masks (b, n), 1 = kept -> (b,)."""
        return self._bind(text, self.options.changed(options))

    def plan(self, text: str, **options: Any) -> Plan:
        """How many model calls an explanation would take; only the whole input is asked for it."""
        chosen = self.options.changed(options)
        return _plan(self._bind(text, chosen).n_features, chosen)

    def check_removal(
        self, explanation: InteractionExplanation, ks: Sequence[int] = (1, 2, 3, 5), **limits: Any
    ) -> list[RemovalCheck]:
        """Ask the real model whether the removals that the explanation names do what it says.

        For each of ``ks``, the best removal set (paper, section 4.2) is taken from the explanation
        and its masked input is given to the model. ``limits`` as for ``explanation.removal``.

        Raises:
            InputError: a k outside 0 to n, or an explanation of another task.
            ModelError: the model failed.
        """
        record = explanation.record
        if record.task != task_of(self.pipe):
            raise InputError(
                f"the explanation is of {record.task}, this pipeline does {task_of(self.pipe)}."
            )
        function = self.value_function(
            record.text,
            features=record.features.spans,
            masking=record.settings.masking,
            mask_token=record.settings.mask_token,
            target=record.target.label,
        )
        solutions = explanation.removal_curve(ks, **limits)
        full = np.ones((1, function.n_features), dtype=np.bool_)
        values = Cached(function)(np.concatenate([full, *(s.mask[None] for s in solutions)]))
        return [
            RemovalCheck(
                solution=solution,
                labels=tuple(record.features.labels[i] for i in solution.removed),
                full=float(values[0]),
                actual=float(value),
            )
            for solution, value in zip(solutions, values[1:], strict=True)
        ]

    def _bind(self, text: Any, chosen: ExplainerOptions) -> TextClassification:
        wanted = FeatureOptions(
            features=chosen.features,
            masking=chosen.masking,
            mask_token=chosen.mask_token,
            target=chosen.target,
            batch_size=None
            if chosen.batch_size is None
            else as_integer("batch_size", chosen.batch_size, 1, 10**6),
        )
        return bind(self.pipe, text, wanted)

    def _explain(self, text: Any, chosen: ExplainerOptions) -> InteractionExplanation:
        function = self._bind(text, chosen)
        algorithm = ProxySPEX(
            proxy=chosen.proxy,
            n_coefficients=chosen.n_coefficients,
            max_order=chosen.max_order,
            refine=chosen.refine,
            seed=chosen.seed,
        )
        how = _plan(function.n_features, chosen)
        found = attribute(
            self._cached(function),
            how,
            algorithm,
            progress=progress_callback(chosen.progress),
        )
        notes = function.notes
        if how.exact:
            found_how = (
                f"was cut to {len(found.fit.spectrum) - 1} coefficients of order "
                f"{found.fit.spectrum.orders.max()} at most"
                if found.fit.dropped_energy > 1e-9 * found.fit.spectrum.energy
                else "is exact"
            )
            notes = (
                *notes,
                f"All {how.budget} subsets of the {function.n_features} features were asked: the "
                f"spectrum {found_how}, and faithfulness is computed over all of them.",
            )
        if found.fit.estimated:
            notes = (
                *notes,
                f"The proxy {found.fit.method!r} has no exact spectrum: the coefficients are an "
                "estimate of it, and faithfulness is that of the estimate.",
            )
        # Kept longer, these answers would outlive a change of the model's weights.
        self._interrupted = None
        for note in function.notes:
            warnings.warn(note, ProxySpexWarning, stacklevel=3)
        return InteractionExplanation(_record(self.pipe, function, chosen, algorithm, found, notes))

    def _cached(self, function: TextClassification) -> Cached:
        """A cache of the values; that of an interrupted call on the same input is continued."""
        key = (
            function.text,
            function.features,
            function.target,
            function.mask_token,
            id(self.pipe.model),
        )
        if self._interrupted is None or self._interrupted[0] != key:
            self._interrupted = (key, Cached(function, chunk=max(32, function.batch_size)))
        return self._interrupted[1]


def _plan(n_features: int, chosen: ExplainerOptions) -> Plan:
    return plan(
        n_features,
        alpha=chosen.alpha,
        budget=chosen.budget,
        n_test=chosen.n_test,
        density=chosen.density,
    )


def _record(
    pipe: Any,
    function: TextClassification,
    chosen: ExplainerOptions,
    algorithm: ProxySPEX,
    found: Attribution,
    notes: tuple[str, ...],
) -> ExplanationRecord:
    fit, how = found.fit, found.plan
    parts = [] if fit.cv is None else [f"{k}={v}" for k, v in fit.cv.best.params.items()]
    if how.exact:
        sampling = "all subsets"
    elif how.densities == (0.5,):
        sampling = "uniform"
    else:
        sampling = "density " + ", ".join(f"{d:g}" for d in how.densities)
    alpha = 2.0 if chosen.alpha is None and chosen.budget is None else chosen.alpha
    return ExplanationRecord(
        task=task_of(pipe),
        text=function.text,
        features=function.features,
        target=function.target,
        spectrum=fit.spectrum,
        queries=Queries(found.masks, found.values, found.n_fit, found.densities),
        faithfulness=found.faithfulness,
        fit=FitReport(
            method=fit.method,
            chosen=", ".join(parts),
            refinement=fit.refinement,
            cv_r2=fit.cv_r2,
            cv=() if fit.cv is None else tuple(fit.cv.rows()),
            dropped_energy=fit.dropped_energy,
        ),
        settings=Settings(
            features=function.features.kind,
            masking=chosen.masking,
            mask_token=function.mask_token,
            alpha=None if how.exact or alpha is None else float(alpha),
            budget=how.budget,
            n_coefficients=algorithm.size,
            max_order=algorithm.max_order,
            sampling=sampling,
            seed=algorithm.seed,
        ),
        provenance=provenance_of(pipe, notes, found.seconds),
    )

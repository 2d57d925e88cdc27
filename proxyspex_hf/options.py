"""Everything that may be chosen about an explanation, in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from proxyspex_hf.checks import as_integer, check_names, one_of, quoted
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.progress import ProgressCallback
from proxyspex_hf.core.proxies.base import Proxy
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import ALPHA, AUTO_ALPHAS, Goal, Plan, Question, Sampling, plan
from proxyspex_hf.core.refine import RefineMethod
from proxyspex_hf.errors import InputError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.failures import Retry
from proxyspex_hf.hf.options import FeatureOptions, ValueOf
from proxyspex_hf.hf.several import listed
from proxyspex_hf.hf.text.mask_token import Masking
from proxyspex_hf.record.inputs import ImageMasking, TextKind


class EffortKeywords(TypedDict, total=False):
    """The keyword arguments about the effort and the explanation, for editors and checkers; what
    they mean stands at :class:`ExplainerOptions`."""

    alpha: float
    budget: int | Literal["auto"] | None
    goal: Goal | None
    question: Question
    rounds: int | None
    density: Sampling | None
    n_test: int
    n_coefficients: int
    max_order: int | None
    proxy: str | Proxy
    refine: RefineMethod
    warm_start: InteractionExplanation | str | bool
    sibling: Callable[..., Any] | InteractionExplanation | None
    seed: int
    progress: bool | ProgressCallback | None


class CallKeywords(EffortKeywords, total=False):
    """All but ``target`` and ``errors``: what a call returns depends on those."""

    features: TextKind | Sequence[tuple[int, int]] | None
    masking: Masking
    mask_token: str | None
    patches: int | tuple[int, int] | str | None
    image_masking: ImageMasking
    value: ValueOf | None
    max_new_tokens: int | None
    function_to_apply: str | None
    multi_label: bool | None
    hypothesis_template: str | None
    aggregation_strategy: str | None
    batch_size: int | None
    retry: Retry | None
    cache_dir: str | Path | None
    noise: bool | None


class Keywords(CallKeywords, total=False):
    """All of them."""

    target: str | int | Sequence[str | int] | None
    errors: Literal["raise", "keep"]


@dataclass(frozen=True, kw_only=True)
class ExplainerOptions:
    """Everything that may be chosen; the explainer's and each call's keyword arguments.

    Attributes: About the input
        features: ``"words"`` (the default), ``"sentences"``, ``"tokens"``, ``"documents"`` (the
            parts of a prompt), or (start, stop) character ranges. Given, a function's list of
            texts is a list of inputs, not of names.
        masking: ``"mask"`` replaces a feature, ``"delete"`` takes it away.
        mask_token: what replaces a feature; default the tokenizer's mask token, else its unknown
            token where it gives that for what it cannot read, else ``"..."``.
        patches: how an image is divided: ``None`` for about 48 patches, (rows, columns), a number
            of patches, or ``"superpixels"`` (needs scikit-image). Of sound, into how many stretches
            of time; default 20.
        image_masking: what a region becomes: ``"zero"`` (black), ``"mean"`` (the image's mean
            colour) or ``"blur"``.
        target: the label to explain, by name or index, or for generation the text; default what
            the model predicts or generates. A list of them, or ``"all"`` where a whole input
            is sorted into labels (unless one is called so), gives a mapping from labels to
            explanations, which share their forward passes there.
        value: which number of it: see the task; a name, or a function of the model's outputs.
        max_new_tokens: length of the model's own output, where that is generated; default what the
            pipeline or its model is set to, and 32 where neither is.
        function_to_apply: ``"sigmoid"``, ``"softmax"`` or ``"none"``, as the pipeline takes it in a
            call; default, for this and the next three, what the pipeline is set to.
        multi_label: zero-shot: whether each label is scored on its own.
        hypothesis_template: zero-shot: the sentence that a label is put into.
        aggregation_strategy: token classification: how tokens make words.
        batch_size: masked inputs in one forward pass; default as the device takes.
        retry: when a batch of a function that asks a network is asked again:
            ``Retry(times=3, wait=1.0, on=(ConnectionError, TimeoutError))``. Default never: what
            was answered before is kept, and the same call resumes from there.

    Attributes: About the answers
        errors: what becomes of a list in which an input cannot be explained. ``"raise"`` raises its
            error; ``"keep"`` puts it in the input's place and explains the others.
        cache_dir: directory that keeps every answer of the model; nothing is asked twice.
        noise: whether to ask a few masks again alone and record how far the values differ;
            default for quantized models and half precision.

    Attributes: About the effort
        alpha: inference multiplier: alpha * n * log2(n) masks are fitted (the paper uses 2 to 8);
            of up to 8 features, all 2^n subsets are asked instead from alpha 2 on.
        budget: the exact number of masks to fit, instead of ``alpha``; or ``"auto"``: as many as
            ``goal`` needs, and alpha * n * log2(n) at most (8 where alpha is 2).
        goal: with ``budget="auto"``, when enough was asked: ``Goal(r2=0.9)`` at each of the
            densities 0.5, 0.7 and 0.9, or ``Goal(width=0.1)``, the median 90% interval of a single
            feature's effect, in the value's unit.
        question: what the masks should tell: ``"any"`` (the default) serves predictions, effects
            at the input and Shapley values alike; ``"input"`` is better for what happens when one
            or two features are taken out, ``"shapley"`` for Shapley values and interactions;
            ``"subsets"`` draws uniform masks, as the paper does.
        rounds: masks are asked in so many rounds (4); from the second on, those are chosen that
            lower the uncertainty of the question most, given the answers so far. 1 draws all.
        density: draw all masks at once, with these shares of the features kept: ``"wide"`` (0.1
            to 0.9), ``"mixed"`` (0.5, 0.7, 0.9), ``"uniform"`` (0.5), or numbers.
        n_test: masks at each of the densities 0.5, 0.7 and 0.9 that are asked for a test alone.
            By default none: drawn masks are predicted by fits that have not seen them.

    Attributes: About the explanation
        n_coefficients: at most how many terms of the spectrum to keep.
        max_order: largest interaction to look for; default no limit.
        proxy: what is fitted, see :class:`proxyspex_hf.core.ProxySPEX`; the paper's settings are
            ``proxy="paper", refine="lasso", n_coefficients=200, question="subsets"``.
        refine: what is done to the extracted coefficients, see the same class.
        warm_start: begin with the kernel learnt from an earlier input of the same model, which
            saves masks where few are asked: an explanation, the name of a data set on the Hub (its
            newest explanation of this model), or True: the first input of a list for the others.
            What comes out then depends on it.
        sibling: a cheaper model that says much the same: its explainer, or its explanation of this
            very input. It is explained first (by default from 8 n log2 n masks, 4,000 at most), and
            this model's answers as ρ times that and a difference, with ρ learnt: few answers of
            this model are then enough where the two agree, and nothing is lost where they do not.
            A quantized copy, a copy without some layers, a smaller model of the family.
        seed: the same seed gives the same explanation, bit for bit.
        progress: True for a bar, False for none, a callable on :class:`Progress`; default a bar
            where a person is looking.
    """

    features: TextKind | Sequence[tuple[int, int]] | None = None
    masking: Masking = "mask"
    mask_token: str | None = None
    patches: int | tuple[int, int] | str | None = None
    image_masking: ImageMasking = "zero"
    target: str | int | Sequence[str | int] | None = None
    value: ValueOf | None = None
    max_new_tokens: int | None = None
    function_to_apply: str | None = None
    multi_label: bool | None = None
    hypothesis_template: str | None = None
    aggregation_strategy: str | None = None
    batch_size: int | None = None
    retry: Retry | None = None
    cache_dir: str | Path | None = None
    errors: Literal["raise", "keep"] = "raise"
    noise: bool | None = None
    alpha: float = ALPHA
    budget: int | Literal["auto"] | None = None
    goal: Goal | None = None
    question: Question = "any"
    rounds: int | None = None
    density: Sampling | None = None
    n_test: int = 0
    n_coefficients: int = ProxySPEX.n_coefficients
    max_order: int | None = None
    proxy: str | Proxy = "blend"
    refine: RefineMethod = "project"
    warm_start: InteractionExplanation | str | bool = False
    sibling: Callable[..., Any] | InteractionExplanation | None = None
    seed: int = 0
    progress: bool | ProgressCallback | None = None

    def __post_init__(self) -> None:
        """Refuse what no input could make right, before a model is loaded or asked.

        Raises:
            InputError: an option of another type, an unknown proxy or refinement, a count or seed
                out of range.
        """
        self.algorithm()
        for name, kind, wanted in (
            ("goal", Goal, "a Goal, such as Goal(r2=0.9)"),
            ("retry", Retry, "a Retry, such as Retry(times=3)"),
            ("cache_dir", (str, os.PathLike), "the path of a directory"),
            ("noise", bool, "True, False or None"),
        ):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise InputError(f"{name} must be {wanted}, got {quoted(value)}.")

        one_of("image_masking", self.image_masking, get_args(ImageMasking))
        given = self.function_to_apply
        if isinstance(given, str) and given.lower() not in ("sigmoid", "softmax", "none"):
            raise InputError(
                f"function_to_apply must be 'sigmoid', 'softmax' or 'none', got {quoted(given)}."
            )

    def changed(self, changes: Mapping[str, Any]) -> ExplainerOptions:
        """These options with some replaced; a None for ``alpha`` leaves it.

        Raises:
            InputError: a name that is not an option, or ``alpha`` beside a number as ``budget``.
        """
        check_names(changes, (field.name for field in fields(self)))
        if changes.get("alpha", ...) is None:
            changes = {name: value for name, value in changes.items() if name != "alpha"}
        budget = changes.get("budget")
        if "alpha" in changes and budget not in (None, "auto"):
            raise InputError(
                f"give alpha or budget, not both (got alpha={changes['alpha']}, budget={budget})."
            )
        if budget not in (None, "auto"):
            changes = {**changes, "alpha": ALPHA}  # that of before is overruled
        elif "alpha" in changes and self.budget != "auto":
            changes = {"budget": None, **changes}
        if changes.get("errors", "raise") not in ("raise", "keep"):
            raise InputError(f"errors must be 'raise' or 'keep', got {changes['errors']!r}.")
        return replace(self, **changes)

    @property
    def _alpha(self) -> float | None:
        if self.budget == "auto" and self.alpha == ALPHA:
            return AUTO_ALPHAS[1]
        if self.budget not in (None, "auto") and self.alpha == ALPHA:
            return None
        return self.alpha  # beside a number as budget, plan() refuses it

    def about_input(self) -> FeatureOptions:
        """What the task needs to know."""
        names = [field.name for field in fields(FeatureOptions) if field.name != "targets"]
        own = {name: getattr(self, name) for name in names}
        own["features"] = "words" if self.features is None else self.features
        several = listed(self.target)
        if several is not None:
            if not several:
                raise InputError("target is an empty list: name at least one label, or leave it.")
            own |= {"target": None, "targets": tuple(several)}
        if self.batch_size is not None:
            own["batch_size"] = as_integer("batch_size", self.batch_size, 1, 10**6)
        if self.max_new_tokens is not None:
            own["max_new_tokens"] = as_integer("max_new_tokens", self.max_new_tokens, 1, 10**6)
        return FeatureOptions(**own)

    def plan(self, n_features: int) -> Plan:
        """The masks that will be asked of ``n_features`` features."""
        return plan(
            n_features,
            alpha=self._alpha,
            budget=self.budget,
            n_test=self.n_test,
            density=self.density,
            question=self.question,
            rounds=self.rounds,
            goal=self.goal,
        )

    def algorithm(
        self, start: MaskKernel | None = None, sibling: Sibling | None = None
    ) -> ProxySPEX:
        """What fits the answers, with what is known beforehand where there is such."""
        return ProxySPEX(
            start=start,
            sibling=sibling,
            proxy=self.proxy,
            n_coefficients=self.n_coefficients,
            max_order=self.max_order,
            refine=self.refine,
            seed=self.seed,
        )

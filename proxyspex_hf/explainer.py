"""InteractionExplainer: from a pipeline and an input to an explanation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

import numpy as np

from proxyspex_hf.beforehand import Bound, Told, check_sibling, told_by_sibling, warmed
from proxyspex_hf.binding import bind_one, bound_again, check_same_model, check_task, only
from proxyspex_hf.checks import FloatArray, quoted
from proxyspex_hf.core.inquiry import Asked
from proxyspex_hf.core.queries import Plan
from proxyspex_hf.core.removal.best import RemovalLimits
from proxyspex_hf.errors import InputError, ProxySpexError, ProxySpexWarning
from proxyspex_hf.explaining import explained, placed
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.given import as_explanation
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.identity import model_name
from proxyspex_hf.hf.loading import load_pipeline
from proxyspex_hf.hf.memory import Memory
from proxyspex_hf.hf.options import FeatureOptions
from proxyspex_hf.hf.several import bind_each, inputs_of, is_missing
from proxyspex_hf.hf.tasks.table import FUNCTION, check_task_name, supported_task, task_of
from proxyspex_hf.hf.value_function import BoundInput, packed
from proxyspex_hf.options import CallKeywords, EffortKeywords, ExplainerOptions, Keywords
from proxyspex_hf.recording import of_same_input
from proxyspex_hf.removal_check import RemovalCheck

if TYPE_CHECKING:
    from PIL.Image import Image

    from proxyspex_hf.prompts import Prompt
    from proxyspex_hf.record.record import ExplanationRecord

#: One input, for a checker: a mapping, such as an image with its caption, is one too.
_Input = TypeVar("_Input", bound="str | Prompt | Image")
_Target = str | int | None
_Targets = list[Any] | tuple[str | int, ...] | Literal["all"]
_Errors = Literal["raise", "keep"]


class InteractionExplainer:
    """Explains what a pipeline says by the combinations of features that made it say so.

    The pipeline and its model are only called: never moved, recast or changed.

    Args:
        pipe: a transformers pipeline of a task in ``proxyspex_hf.hf.tasks``; or a
            :class:`ServedModel`, which asks an inference server; or any function from a list of
            texts to numbers (b,) or (b, classes), whose inputs are texts; or one from masks
            (b, n) to numbers (b,), whose inputs are the features' names.
        options: see :class:`ExplainerOptions`; each may also be given to a single call.

    Raises:
        InputError: an unknown option, no pipeline of such a task, or more than one.

    Example:
        >>> explanation = InteractionExplainer(pipe)("It is not a bad film")
        >>> explanation.top(1)[0].labels
        ('not', 'bad')
    """

    def __init__(
        self,
        pipe: Any,
        *others: Any,
        **options: Unpack[Keywords],
    ) -> None:
        parts = [value for name, value in options.items() if name in ("tokenizer", "processor")]
        if others or parts:
            names = ", ".join(type(each).__name__ for each in (pipe, *others, *parts))
            raise InputError(
                f"InteractionExplainer takes one pipeline, got {names}: put a model and its "
                "tokenizer into one with transformers.pipeline('text-classification', model=model, "
                "tokenizer=tokenizer)."
            )
        supported_task(pipe)
        self.pipe = pipe
        self.options = ExplainerOptions().changed(options)
        self._memory = Memory()

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        task: str | None = None,
        quantization: str | None = None,
        device_map: Any = None,
        dtype: Any = None,
        revision: str | None = None,
        **options: Unpack[Keywords],
    ) -> InteractionExplainer:
        """Load a model into a pipeline, and make its explainer.

        Args:
            model: Hub id or directory. Its weights must be safetensors; no code of it is run.
            task: the pipeline's task; default what the model's class says.
            quantization: ``"8bit"`` or ``"4bit"``, by bitsandbytes.
            device_map: ``"auto"``, a device such as ``"cuda:0"``, or a mapping of the model's parts
                to devices; default the first GPU, if any.
            dtype: of the weights, such as ``"bfloat16"``; default that of the file.
            revision: branch, tag or commit of a model on the Hub.
            options: as for the explainer itself.

        Raises:
            InputError: the model cannot be loaded so, did not come out quantized, or the task is
                none that can be explained.

        Example:
            >>> small = InteractionExplainer.from_pretrained(DEMO_MODEL, budget=40)
            >>> small.pipe.task
            'text-classification'
        """
        # Before minutes of loading, not after.
        ExplainerOptions().changed(options)
        if task is not None:
            check_task_name(task)
        pipe = load_pipeline(
            model,
            task=task,
            quantization=quantization,
            device_map=device_map,
            dtype=dtype,
            revision=revision,
        )
        return cls(pipe, **options)

    @overload  # "all" is a str as well: the first that fits counts
    def __call__(  # type: ignore[overload-overlap]
        self,
        inputs: str | Prompt | Image | Mapping[str, Any],
        *,
        target: _Targets,
        errors: _Errors = ...,
        **options: Unpack[CallKeywords],
    ) -> dict[str | int, InteractionExplanation]: ...

    @overload
    def __call__(
        self,
        inputs: str | Prompt | Image | Mapping[str, Any],
        *,
        target: _Target = ...,
        errors: _Errors = ...,
        **options: Unpack[CallKeywords],
    ) -> InteractionExplanation: ...

    @overload
    def __call__(
        self,
        inputs: list[_Input] | tuple[_Input, ...],
        *,
        target: _Target = ...,
        errors: Literal["raise"] = ...,
        **options: Unpack[CallKeywords],
    ) -> list[InteractionExplanation]: ...

    @overload
    def __call__(
        self,
        inputs: list[_Input] | tuple[_Input, ...],
        *,
        target: _Target = ...,
        errors: Literal["keep"],
        **options: Unpack[CallKeywords],
    ) -> list[InteractionExplanation | ProxySpexError]: ...

    @overload
    def __call__(
        self,
        inputs: Any,
        *,
        target: Any = ...,
        errors: _Errors = ...,
        **options: Unpack[CallKeywords],
    ) -> Any: ...

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Explain one input (an :class:`InteractionExplanation`), or a list of them (a list).

        What an input is depends on the task: a text, an image, a mapping of them. A list may also
        be a tuple, a column (pandas, numpy, datasets) or any other iterable. Its inputs are asked
        together, so that batches stay full. Where several labels are asked for (see ``target``),
        each explanation is a mapping from labels to explanations.

        Type checkers judge by the call alone: of options set on the explainer, and of names of a
        function's features (a list that is one input), they know nothing; ``typing.cast`` helps.

        Interrupted (Ctrl-C, an error, a progress callback that raises), the values already
        computed are kept: the same call again continues from there, if the model is still the
        same; with ``cache_dir`` even after a crash.

        Raises:
            InputError: an input or option that cannot be used.
            ModelError: the model failed or gave NaN or infinite values.
        """
        chosen = self.options.changed(options)
        one, given = inputs_of(self.pipe, inputs, texts=chosen.features is not None)
        if one:
            return self._explain([self._bound(given, chosen)], [given], chosen, alone=True)[0]
        return self._each(given, chosen)

    def _each(self, given: Sequence[Any], chosen: ExplainerOptions) -> list[Any]:
        """The explanations of inputs known to be several, also where side by side they look like
        one: messages like a chat, texts like the names of features."""
        bound: list[Bound | ProxySpexError] = []
        for position, each in enumerate(given):
            # All of them before the first is explained, not after an hour at the fifth.
            try:
                if is_missing(each):
                    way = "" if chosen.errors == "keep" else ", or give errors='keep'"
                    raise InputError(f"nothing is there ({each}): leave it out{way}.")
                bound.append(self._bound(each, chosen))
            except ProxySpexError as error:
                named = placed(error, position, len(given))
                if chosen.errors != "keep":
                    raise named from error
                bound.append(named)
        return self._explain(bound, given, chosen)

    def _bound(self, value: Any, chosen: ExplainerOptions) -> Bound:
        # A number would be that of a function's features.
        texts = task_of(self.pipe) == FUNCTION and chosen.features is not None
        if texts and not isinstance(value, str):
            raise InputError(
                f"with features=... a function's input is a text, got {quoted(value)}: leave "
                "features out for a function of masks."
            )
        return bind_each(self.pipe, value, chosen.about_input())

    def value_function(self, inputs: Any, **options: Unpack[Keywords]) -> BoundInput:
        """The set function itself, for an algorithm of your own: masks (b, n), 1 = kept -> (b,).

        Args:
            inputs: one input, as for an explanation.
            options: as for an explanation.

        Raises:
            InputError: an input or option that cannot be used, or several labels.

        Example:
            >>> f = explainer.value_function("It is not a bad film")
            >>> f.features.labels
            ('It', 'is', 'not', 'a', 'bad', 'film')
            >>> f(np.ones((1, 6), bool)).shape
            (1,)
        """
        return only(bind_one(self.pipe, inputs, self.options.changed(options)))

    def plan(self, inputs: Any, **options: Unpack[Keywords]) -> Plan:
        """How many model calls an explanation would take; only the whole input is asked for it.

        Args:
            inputs: one input, as for an explanation.
            options: as for an explanation.

        Returns:
            A plan: ``calls`` says how many at most, ``exact`` whether every subset is asked.

        Raises:
            InputError: an input or option that cannot be used.

        Example:
            >>> explainer.plan("It is not a bad film").calls  # all subsets of six words
            64
        """
        chosen = self.options.changed(options)
        first, _ = next(iter(bind_one(self.pipe, inputs, chosen).values()))
        return chosen.plan(first.n_features)

    def check_removal(
        self,
        explanation: InteractionExplanation,
        ks: Iterable[int] = (1, 2, 3, 5),
        *,
        inputs: Any = None,
        **limits: Unpack[RemovalLimits],
    ) -> list[RemovalCheck]:
        """Ask the real model whether the removals that the explanation names do what it says.

        For each of ``ks``, the best removal set (paper, section 4.2) is taken from the explanation
        and its masked input is given to the model. ``limits`` as for ``explanation.removal``.

        Args:
            explanation: of an input under this pipeline.
            ks: how many features to remove.
            inputs: the input that was explained, where :meth:`ask` needs it.

        Raises:
            InputError: a k outside 0 to n, an explanation of another task or input.
            ModelError: the model failed.
        """
        record = as_explanation("explanation", explanation).record
        check_task(self.pipe, record)
        solutions = explanation.removal_curve(ks, **limits)
        full = np.ones((1, len(record.features)), dtype=np.bool_)
        masks = np.concatenate([full, *(s.mask[None] for s in solutions)])
        values = self.ask(explanation, masks, inputs=inputs)
        return [
            RemovalCheck(
                solution=solution,
                labels=tuple(record.features.labels[i] for i in solution.removed),
                full=float(values[0]),
                actual=float(value),
            )
            for solution, value in zip(solutions, values[1:], strict=True)
        ]

    def ask(
        self, explanation: InteractionExplanation, masks: Any, *, inputs: Any = None
    ) -> FloatArray:
        """What the model itself gives for masks of an explained input: (b, n), 1 = kept -> (b,).

        The number is the one that was explained, of the same input with the same masking. It says
        nothing of whether this is the model that was explained: compare the full mask's value with
        ``explanation.record.full_value``.

        Args:
            explanation: of an input under this pipeline.
            masks: of its features.
            inputs: the input that was explained. Not needed for a text, a prompt, an image, or an
                image with its caption: these are made again from what the explanation holds.

        Raises:
            InputError: an explanation of another task or input, or masks of another width.
            ModelError: the model failed.
        """
        record = as_explanation("explanation", explanation).record
        check_task(self.pipe, record)
        return self._asker_again(record, inputs, self.options)(masks)

    def refine(
        self,
        explanation: InteractionExplanation,
        *,
        inputs: Any = None,
        **options: Unpack[EffortKeywords],
    ) -> InteractionExplanation:
        """The same explanation after more masks: none that was asked before is asked again.

        The new masks are chosen by all answers so far, wherever the explanation comes from: this
        session, a file, the Hub. Masks that had been held out are fitted, too.

        Args:
            explanation: of an input under this pipeline and this very model: the whole input is
                asked once more, and must give the value that it gave then.
            inputs: the input that was explained, where :meth:`ask` needs it.
            options: about the effort and the explanation, as in :class:`ExplainerOptions`; default
                the explainer's own. ``alpha`` and ``budget`` count all masks, those already asked
                among them; ``budget="auto"`` with a ``goal`` asks as many as it needs.

        Raises:
            InputError: an explanation of another model, task or input; options about the input; a
                budget of no more than what was asked.
            ModelError: the model failed or gave NaN or infinite values.

        Example:
            >>> better = explainer.refine(explanation, alpha=3)  # as well of a file or the Hub
        """
        record = as_explanation("explanation", explanation).record
        check_task(self.pipe, record)
        given = {"seed": record.settings.seed, **options}
        about_input = sorted(set(given) & {field.name for field in fields(FeatureOptions)})
        if about_input:
            raise InputError(
                f"{about_input[0]} belongs to the input, which stays as it was explained: refine "
                "takes options about the effort and the explanation."
            )
        chosen = self.options.changed(given)
        how, queries = chosen.plan(len(record.features)), record.queries
        if record.is_exact or how.exact or how.budget <= len(queries):
            raise InputError(
                f"{len(queries):,} masks were asked, and this would be {how.budget:,} in all: "
                "give a larger alpha or budget."
                if not record.is_exact
                else "every subset was asked already: there is nothing to refine."
            )
        asker = self._asker_again(record, inputs, chosen)
        check_same_model(record, asker)
        asker.recall(dict(zip(packed(queries.masks), queries.values.tolist(), strict=True)))
        known = Asked(queries.masks, queries.densities, [queries.values])
        told = Told.stored(record)
        said = {} if told is None else {asker: told}
        with self._memory.until_done(self.pipe, [asker], chosen.value):
            (made,) = explained(self.pipe, [[asker]], chosen, keep=False, known=known, told=said)
        if isinstance(made, ProxySpexError):
            raise made
        return InteractionExplanation(of_same_input(made.record, record))

    def _asker_again(
        self, record: ExplanationRecord, inputs: Any, chosen: ExplainerOptions
    ) -> Asker:
        """What asks an explained input again, with all that is remembered of it."""
        bound = bound_again(self.pipe, self.options, record, inputs)
        pair = (bound, bound)
        (asker,) = self._memory.askers(self.pipe, [pair], chosen.value, chosen.cache_dir)
        return asker

    def _explain(
        self,
        inputs: Sequence[Bound | ProxySpexError],
        values: Sequence[Any],
        chosen: ExplainerOptions,
        *,
        alone: bool = False,
    ) -> list[Any]:
        """The explanation of each input: one, or a mapping of them; or its error."""
        chosen = warmed(chosen, model_name(self.pipe)[0])
        check_sibling(chosen)
        count = sum(len(each) for each in inputs if isinstance(each, dict))
        keep = chosen.errors == "keep" and not (alone and count == 1)
        sibling = chosen.sibling
        # Of the sibling, too, nothing is asked twice where this is interrupted.
        held = (
            sibling._memory.held() if isinstance(sibling, InteractionExplainer) else nullcontext()
        )
        with held:
            inputs, told = told_by_sibling(chosen, inputs, values, keep=keep)
            bound = [pair for each in inputs if isinstance(each, dict) for pair in each.values()]
            askers = self._memory.askers(self.pipe, bound, chosen.value, chosen.cache_dir)
            pairs = zip(askers, told, strict=True)
            said = {asker: each for asker, each in pairs if each is not None}
            with self._memory.until_done(self.pipe, askers, chosen.value):
                made = explained(self.pipe, _by_input(inputs, askers), chosen, keep=keep, told=said)
        for note in dict.fromkeys(note for each, _ in bound for note in each.notes):
            warnings.warn(note, ProxySpexWarning, stacklevel=3)
        rest = iter(made)
        out: list[Any] = []
        for position, each in enumerate(inputs):
            if isinstance(each, ProxySpexError):
                out.append(each)
                continue
            found = {key: next(rest) for key in each}
            if not alone:
                found = {
                    key: placed(entry, position, len(inputs))
                    if isinstance(entry, ProxySpexError)
                    else entry
                    for key, entry in found.items()
                }
            out.append(found.get(None, found))
        return out


def _by_input(
    inputs: Sequence[Bound | ProxySpexError], askers: Sequence[Asker]
) -> list[list[Asker]]:
    """The askers of each input, which has one or one a label."""
    rest = iter(askers)
    return [[next(rest) for _ in each] for each in inputs if isinstance(each, dict)]

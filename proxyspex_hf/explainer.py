"""InteractionExplainer: from a pipeline and an input to an explanation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proxyspex_hf.core.attribution import Plan, attribute
from proxyspex_hf.core.removal import RemovalSolution
from proxyspex_hf.core.spectrum import FloatArray
from proxyspex_hf.errors import InputError, ProxySpexWarning
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.hf.answers import Asker, ask_together, noise_floor
from proxyspex_hf.hf.loading import load_pipeline
from proxyspex_hf.hf.processes import Processes
from proxyspex_hf.hf.rebuild import held_input, options_again
from proxyspex_hf.hf.store import ValueStore, key_of
from proxyspex_hf.hf.targets import own_name
from proxyspex_hf.hf.tasks.table import bind, is_one_input, task_of
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.progress_bar import progress_callback
from proxyspex_hf.record import ExplanationRecord
from proxyspex_hf.recording import make_record, model_name

__all__ = ["ExplainerOptions", "InteractionExplainer", "RemovalCheck"]


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
        pipe: a transformers pipeline of a task in ``proxyspex_hf.hf.tasks``, or any function from
            masks (b, n) to numbers (b,); its inputs are then the features' names.
        options: see :class:`ExplainerOptions`; each may also be given to a single call.

    Raises:
        InputError: an unknown option.
    """

    def __init__(self, pipe: Any, **options: Any) -> None:
        self.pipe = pipe
        self.options = ExplainerOptions().changed(options)
        self._interrupted: dict[Any, Asker] = {}

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
        **options: Any,
    ) -> InteractionExplainer:
        """Load a model and explain it; arguments as :func:`proxyspex_hf.hf.loading.load_pipeline`.

        Raises:
            InputError: the model cannot be loaded so, or is not quantized although it was asked.
        """
        ExplainerOptions().changed(options)  # before minutes of loading, not after
        pipe = load_pipeline(
            model,
            task=task,
            quantization=quantization,
            device_map=device_map,
            dtype=dtype,
            revision=revision,
        )
        return cls(pipe, **options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Explain one input (an :class:`InteractionExplanation`), or a list of them (a list).

        What an input is depends on the task: a text, an image, a mapping of them. Inputs of a list
        are asked together, so that batches stay full.

        Interrupted (Ctrl-C, or a progress callback that raises), the values already computed are
        kept: the same call again continues from there; with ``cache_dir`` even after a crash.

        Raises:
            InputError: an input or option that cannot be used.
            ModelError: the model failed or gave NaN or infinite values.
        """
        chosen = self.options.changed(options)
        if is_one_input(self.pipe, inputs):
            return self._explain([self._bind(inputs, chosen)], chosen)[0]
        bound = []
        for position, each in enumerate(inputs):
            # All of them before the first is explained, not after an hour at the fifth.
            try:
                bound.append(self._bind(each, chosen))
            except InputError as error:
                raise InputError(f"input {position} of {len(inputs)}: {error}") from error
        return self._explain(bound, chosen)

    def value_function(self, inputs: Any, **options: Any) -> BoundInput:
        """The set function itself, for one's own algorithm: masks (b, n), 1 = kept -> (b,)."""
        return self._bind(inputs, self.options.changed(options))

    def plan(self, inputs: Any, **options: Any) -> Plan:
        """How many model calls an explanation would take; only the whole input is asked for it."""
        chosen = self.options.changed(options)
        return chosen.plan(self._bind(inputs, chosen).n_features)

    def check_removal(
        self,
        explanation: InteractionExplanation,
        ks: Sequence[int] = (1, 2, 3, 5),
        *,
        inputs: Any = None,
        **limits: Any,
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
        record = explanation.record
        self._check_task(record)
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
        self._check_task(explanation.record)
        return Asker(self._again(explanation.record, inputs))(masks)

    def _check_task(self, record: ExplanationRecord) -> None:
        if record.task != task_of(self.pipe):
            raise InputError(
                f"the explanation is of {record.task}, this pipeline does {task_of(self.pipe)}."
            )

    def _again(self, record: ExplanationRecord, inputs: Any) -> BoundInput:
        """The value function that an explanation was made of."""
        changes = options_again(record)
        own = self.options.value
        if callable(own) and record.target.kind == own_name(own):
            del changes["value"]  # the reader's own function: a record holds only its name
        if inputs is None:
            inputs, division = held_input(record)
            changes.update(division)
        function = self.value_function(inputs, **changes)
        made, wanted = function.features, record.features
        if (made.spans, made.regions) != (wanted.spans, wanted.regions) or len(made) != len(wanted):
            raise InputError(
                "inputs are divided into other features than the explanation has: give the same "
                "input and the same options."
            )
        tokens = record.settings.arguments.get("target_tokens")
        if tokens is not None and tokens != function.arguments.get("target_tokens"):
            raise InputError(
                f"the explained output {record.target.label!r} reads as other tokens than the "
                "model once generated, so the same number cannot be asked for again."
            )
        return function

    def _bind(self, value: Any, chosen: ExplainerOptions) -> BoundInput:
        return bind(self.pipe, value, chosen.about_input())

    def _explain(
        self, bound: Sequence[BoundInput], chosen: ExplainerOptions
    ) -> list[InteractionExplanation]:
        askers = [self._asker(each, chosen) for each in bound]
        plans = [chosen.plan(each.n_features) for each in bound]
        progress = progress_callback(chosen.progress if Processes().first else False)
        if len(bound) > 1:
            masks = [
                _masks_of(asker, how, chosen) for asker, how in zip(askers, plans, strict=True)
            ]
            ask_together(askers, masks, progress)
        explanations = []
        for asker, how in zip(askers, plans, strict=True):
            algorithm = chosen.algorithm()
            found = attribute(asker, how, algorithm, progress=progress)
            noise = noise_floor(asker, found.masks, chosen.noise)
            record = make_record(self.pipe, asker, chosen, algorithm, found, noise)
            explanations.append(InteractionExplanation(record))
        # Kept longer, these answers would outlive a change of the model's weights.
        self._interrupted = {}
        for each in bound:
            for note in each.notes:
                warnings.warn(note, ProxySpexWarning, stacklevel=3)
        return explanations

    def _asker(self, bound: BoundInput, chosen: ExplainerOptions) -> Asker:
        """What remembers the values; that of an interrupted call on the same input is continued."""
        if chosen.cache_dir is not None:
            if callable(chosen.value) or bound.model is None:
                raise InputError(
                    "cache_dir cannot be used with a function of one's own: its values are not "
                    "known by its name. Leave cache_dir out, or give value a name."
                )
            name, revision = model_name(self.pipe)
            key = key_of(bound, name, revision, task_of(self.pipe))
            return Asker(bound, ValueStore(chosen.cache_dir, key, bound.n_features))
        key_here = (str(bound.fingerprint()), bound.target, id(bound.model), id(chosen.value))
        return self._interrupted.setdefault(key_here, Asker(bound))


class _Planned(Exception):  # noqa: N818 - no error: it carries the masks out
    def __init__(self, masks: Any) -> None:
        self.masks = masks


class _Planner(Asker):
    def __call__(self, masks: Any, progress: Any = None) -> Any:  # noqa: ARG002
        raise _Planned(masks)


def _masks_of(asker: Asker, how: Plan, chosen: ExplainerOptions) -> Any:
    """The masks that :func:`attribute` will ask, so that several inputs can be asked together."""
    try:
        attribute(_Planner(asker.bound), how, chosen.algorithm())
    except _Planned as planned:
        return planned.masks
    raise InputError("the plan asks nothing.")

"""From what was asked and found to the record of it."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from proxyspex_hf.beforehand import Told
from proxyspex_hf.core.algorithm import ProxySPEX
from proxyspex_hf.core.attribution import Attribution
from proxyspex_hf.fit_notes import fit_notes, goal_note, other_notes
from proxyspex_hf.hf.answers import Asker
from proxyspex_hf.hf.evaluating import model_device
from proxyspex_hf.hf.identity import model_name
from proxyspex_hf.hf.loading import device_map_of, model_bytes, quantization_of
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.tasks.classification import function_applied
from proxyspex_hf.hf.tasks.table import task_of
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.record.record import CALL_OPTIONS, ExplanationRecord, Provenance, Settings, Target
from proxyspex_hf.refit import fit_report
from proxyspex_hf.versions import versions_of

#: Tasks whose pipeline chooses among the labels of its model's config.
_OF_CLASSES = ("text-classification", "image-classification", "audio-classification")
_PACKAGES = ("torch", "transformers", "tokenizers", "lightgbm", "numpy", "scikit-learn", "scipy")


def make_record(
    pipe: Any,
    asker: Asker,
    chosen: ExplainerOptions,
    algorithm: ProxySPEX,
    found: Attribution,
    noise: float | None,
    told: Told | None = None,
) -> ExplanationRecord:
    """The record of one explanation made just now, and of what a sibling said before it."""
    bound, fit, how = asker.bound, found.fit, found.plan
    alpha = chosen.alpha if chosen.budget is None else None
    record = ExplanationRecord(
        task=task_of(pipe),
        text=bound.text,
        picture=bound.picture,
        parts=bound.parts,
        features=bound.features,
        target=_with_other(bound),
        spectrum=fit.spectrum,
        queries=found.queries,
        doubt=fit.doubt,
        faithfulness=found.faithfulness,
        fit=fit_report(fit),
        settings=Settings(
            features=bound.features.kind,
            masking=getattr(bound, "masking", chosen.masking),
            mask_token=bound.mask_token,
            alpha=None if how.exact or how.goal is not None or alpha is None else float(alpha),
            budget=how.budget if how.goal is None else found.queries.n_fit,
            n_coefficients=algorithm.n_coefficients,
            max_order=algorithm.max_order,
            sampling=_sampling(found),
            seed=algorithm.seed,
            image_masking=bound.image_masking,
            arguments={**_given(chosen), **bound.arguments},
        ),
        provenance=_provenance(pipe, bound, found, noise, told),
    )
    missed = goal_note(record, how)
    if missed is None:
        return record
    notes = (*record.provenance.notes, missed)
    return replace(
        record,
        settings=replace(record.settings, sampling=_sampling(found, met=False)),
        provenance=replace(record.provenance, notes=notes),
    )


def of_same_input(made: ExplanationRecord, record: ExplanationRecord) -> ExplanationRecord:
    """``made`` of the input of an earlier ``record``, as that tells of it: the number, the
    features, how they are masked and what was noted are those of the values that are kept."""
    asked = record.settings
    notes = (*other_notes(record.provenance.notes), *made.provenance.notes)
    return replace(
        made,
        text=record.text,
        picture=record.picture,
        parts=record.parts,
        features=record.features,
        target=record.target,
        settings=replace(
            made.settings,
            features=asked.features,
            masking=asked.masking,
            mask_token=asked.mask_token,
            image_masking=asked.image_masking,
            arguments=asked.arguments,
        ),
        provenance=replace(made.provenance, notes=tuple(dict.fromkeys(notes))),
    )


def _with_other(bound: BoundInput) -> Target:
    """The target, with the label that is meant where a choice between two is not this one."""
    target, stages = bound.target, bound.stages
    labels = getattr(getattr(bound.model, "config", None), "id2label", None) or {}
    if stages is None or target.index not in (0, 1) or labels.keys() != {0, 1}:
        return target
    if task_of(stages.pipe) not in _OF_CLASSES or function_applied(stages) != "softmax":
        return target
    return replace(target, other=str(labels[1 - target.index]))


def _given(chosen: ExplainerOptions) -> dict[str, Any]:
    """The options of the call that decide a value."""
    given = {name: getattr(chosen, name) for name in CALL_OPTIONS}
    return {name: value for name, value in given.items() if value is not None}


def _sampling(found: Attribution, *, met: bool = True) -> str:
    if found.plan.exact:
        return "all subsets"
    how = found.plan
    drawn = "uniform"
    if how.densities != (0.5,):
        drawn = "density " + ", ".join(f"{d:g}" for d in how.densities)
    if how.rounds == 1 and how.goal is None:
        return drawn
    if how.goal is not None:
        until = "until a goal was met" if met else "for a goal that was not met"
        return f"question {how.question}, {until}: {drawn}, and others chosen"
    queries = found.queries
    chosen = int((queries.densities[2 : queries.n_fit] == 0.0).sum())
    return f"question {how.question}, {how.rounds} rounds: {drawn}, and {chosen:,} chosen"


def _notes(bound: BoundInput, found: Attribution, told: Told | None) -> tuple[str, ...]:
    of_sibling = () if told is None else (told.note(found.posterior),)
    return (*bound.notes, *bound.asides, *of_sibling, *fit_notes(found.fit, found.queries))


def _provenance(
    pipe: Any, bound: BoundInput, found: Attribution, noise: float | None, told: Told | None
) -> Provenance:
    name, revision = model_name(pipe)
    model = bound.model
    versions = {"python": platform.python_version(), **versions_of(*_PACKAGES)}
    if isinstance(model, ServedModel):
        dtype, device = "as served", model.place
        versions |= model.version
    else:
        dtype = "float64" if model is None else str(model.dtype).removeprefix("torch.")
        device = str(model_device(model))
    return Provenance(
        model=name,
        revision=revision,
        dtype=dtype,
        device=device,
        versions=versions,
        notes=_notes(bound, found, told),
        quantization=quantization_of(model),
        device_map=device_map_of(model),
        model_bytes=model_bytes(model),
        noise_floor=noise,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds={name: round(value, 3) for name, value in found.seconds.items()},
    )

"""What is known before a model is asked: an earlier explanation's kernel, what a sibling says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proxyspex_hf.checks import quoted
from proxyspex_hf.core.masks import budget_for
from proxyspex_hf.core.posterior import Posterior
from proxyspex_hf.core.proxies.kernel import MaskKernel
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.errors import InputError, ProxySpexError
from proxyspex_hf.explanation import InteractionExplanation
from proxyspex_hf.fit_notes import sibling_note
from proxyspex_hf.hf.sequence import SEQUENCE_VALUES
from proxyspex_hf.hf.tasks.table import FUNCTION, task_of
from proxyspex_hf.hf.value_function import BoundInput
from proxyspex_hf.options import ExplainerOptions
from proxyspex_hf.record.record import ExplanationRecord

#: One input: its set function by label, each beside the one whose outputs it is scored from.
Bound = dict[str | int | None, tuple[BoundInput, BoundInput]]

#: Masks that a sibling is asked where its explainer does not say: the most that the paper uses, and
#: no more than a Gaussian process solves exactly.
_ALPHA, _MOST = 8.0, 4000
#: Terms of its spectrum where its explainer has the default. A convention: twice the default, as it
#: is asked more than a model usually is.
_COEFFICIENTS = 1000
_BY_DEFAULT = ExplainerOptions()


@dataclass(frozen=True)
class Told:
    """What a sibling said of one input.

    Attributes:
        sibling: None where it says nothing, since its values do not vary.
        who: said it, and of how many masks.
    """

    sibling: Sibling | None
    who: str

    @classmethod
    def by(cls, explanation: InteractionExplanation) -> Told:
        """What an explanation of the sibling says."""
        record = explanation.record
        relevance = None if record.doubt is None else record.doubt.kernel.relevance
        sibling = Sibling.of(record.spectrum, record.queries.values, relevance)
        who = f"{record.provenance.model}, of {len(record.queries):,} masks"
        return cls(sibling, who)

    @classmethod
    def stored(cls, record: ExplanationRecord) -> Told | None:
        """What an explanation that is to be refined began with."""
        sibling = record.sibling
        return None if sibling is None else cls(sibling, "the one of the explanation before")

    def note(self, posterior: Posterior | None) -> str:
        """For the record of the explanation that began with it."""
        rho = None if posterior is None else posterior.rho
        if rho is None or self.sibling is None:
            return sibling_note(self.who, None)
        return sibling_note(self.who, rho / self.sibling.scale)


def kernel_of(warm_start: InteractionExplanation | str | bool) -> MaskKernel | None:
    """The kernel that an explanation of the same model has; None where it has none."""
    if not isinstance(warm_start, InteractionExplanation):
        return None
    doubt = warm_start.record.doubt
    return None if doubt is None else doubt.kernel


def warmed(chosen: ExplainerOptions, model: str) -> ExplainerOptions:
    """The options with the explanation that ``warm_start`` names.

    Args:
        model: whose explanation is wanted, where a data set is named.

    Raises:
        InputError: there is none, or it has no kernel.
    """
    named = chosen.warm_start
    if isinstance(named, str):
        own = [e for e in InteractionExplanation.list_hub(named) if e.model == model]
        if not own:
            raise InputError(f"{named} holds no explanation of {model} to start from.")
        named = InteractionExplanation.from_hub(named, own[0].id)
    elif not isinstance(named, (bool, InteractionExplanation)):
        raise InputError(
            f"warm_start must be an explanation, a data set's name or True, got {named!r:.60}."
        )
    if isinstance(named, InteractionExplanation) and named.record.doubt is None:
        raise InputError(
            "the explanation to start from has no kernel: it is exact, or of before version "
            "0.2, where refit() makes one."
        )
    return chosen.changed({"warm_start": named})


def check_sibling(chosen: ExplainerOptions) -> None:
    """That what is given as a sibling is one, and can be used.

    Raises:
        InputError: it is not, or the proxy cannot use it.
    """
    sibling = chosen.sibling
    if sibling is None:
        return
    explains = callable(sibling) and isinstance(getattr(sibling, "options", None), ExplainerOptions)
    if not explains and not isinstance(sibling, InteractionExplanation):
        raise InputError(
            "sibling must be the InteractionExplainer of a cheaper model, or its explanation of "
            f"this input, got {quoted(sibling)}."
        )
    chosen.algorithm().check_takes_sibling()  # before hours of asking, not after


def told_by_sibling(
    chosen: ExplainerOptions,
    inputs: Sequence[Bound | ProxySpexError],
    values: Sequence[Any],
    *,
    keep: bool,
) -> tuple[list[Bound | ProxySpexError], list[Told | None]]:
    """What the sibling says of each function of each input, in order.

    Args:
        inputs: the set functions of each input by label, or its error.
        values: the inputs as they were given.
        keep: an input that the sibling cannot explain becomes its error.

    Raises:
        InputError: the sibling cannot explain an input, or divides it into other features.
        ModelError: the sibling failed.
    """
    found: list[Bound | ProxySpexError] = []
    told: list[Told | None] = []
    for each, value in zip(inputs, values, strict=True):
        if isinstance(each, ProxySpexError):
            found.append(each)
            continue
        try:
            said = _told(chosen, value, [function for function, _ in each.values()])
        except ProxySpexError as error:
            if not keep:
                raise
            found.append(error)
            continue
        found.append(each)
        told += said
    return found, told


def _told(
    chosen: ExplainerOptions, value: Any, functions: Sequence[BoundInput]
) -> Sequence[Told | None]:
    """What the sibling says of each label of one input, asked of it together, so that they share
    its forwards; None without one, or where every subset is asked."""
    sibling = chosen.sibling
    if sibling is None or chosen.plan(functions[0].n_features).exact:
        return [None] * len(functions)
    if isinstance(sibling, InteractionExplanation):
        if len(functions) > 1:
            raise InputError("a sibling's explanation is of one label: give its explainer instead.")
        explanations = [sibling]
    else:
        explanations = _explained_by(sibling, chosen, value, functions)
    wanted = functions[0].features
    for made in (explanation.record.features for explanation in explanations):
        alike = (made.spans, made.regions) == (wanted.spans, wanted.regions)
        if not alike or len(made) != len(wanted):
            raise InputError(
                f"the sibling explains {len(made)} features, this model {len(wanted)}, and they "
                "are not the same ones: give both the same features='words' or spans, and patches."
            )
    return [Told.by(explanation) for explanation in explanations]


def _explained_by(
    sibling: Any, chosen: ExplainerOptions, value: Any, functions: Sequence[BoundInput]
) -> list[InteractionExplanation]:
    """The sibling's explanation of each label, in order.

    Raises:
        InputError: it cannot explain the input, or knows fewer labels.
    """
    each = [_asked_alike(sibling, chosen, function) for function in functions]
    options, count = each[0], len(functions)
    if count > 1:
        options["target"] = [own.get("target") for own in each]
    try:
        found = sibling(value, **options)
    except InputError as error:
        raise InputError(f"the sibling cannot explain this input: {error}") from error
    made = list(found.values()) if count > 1 else [found]
    if len(made) != count:
        raise InputError(f"the sibling knows {len(made)} labels where {count} are to be explained.")
    return made


def _asked_alike(sibling: Any, chosen: ExplainerOptions, function: BoundInput) -> dict[str, Any]:
    """The options with which the sibling explains the same number of the same features."""
    own: ExplainerOptions = sibling.options
    features, target = function.features, function.target
    options: dict[str, Any] = {
        "errors": "raise",
        "patches": chosen.patches,
        "image_masking": chosen.image_masking,
        "masking": chosen.masking,
        "value": chosen.value,
        "function_to_apply": chosen.function_to_apply,
        "multi_label": chosen.multi_label,
        "hypothesis_template": chosen.hypothesis_template,
        "aggregation_strategy": chosen.aggregation_strategy,
        "target": target.index if task_of(sibling.pipe) == FUNCTION else target.label,
    }
    if target.index is None and target.kind not in SEQUENCE_VALUES:
        del options["target"]
    if chosen.features is not None:
        options["features"] = chosen.features
    if chosen.mask_token is not None and own.mask_token is None:
        options["mask_token"] = chosen.mask_token
    if (own.alpha, own.budget) == (_BY_DEFAULT.alpha, None):
        options["budget"] = min(_MOST, max(20, budget_for(len(features), _ALPHA)))
    if own.n_coefficients == _BY_DEFAULT.n_coefficients:
        options["n_coefficients"] = _COEFFICIENTS
    return options

"""What is asked: how many masks, of which kind, in how many rounds; and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray, as_fraction, as_integer
from proxyspex_hf.core.faithfulness import TEST_DENSITIES
from proxyspex_hf.core.frozen import Frozen
from proxyspex_hf.core.masks import MAX_ENUMERATED, budget_for
from proxyspex_hf.errors import InputError

MIN_BUDGET = 20
#: Shares kept that serve every question: few features kept as well as most of them. Measured:
#: ``python tests/bench/indices.py --methods ours ours:density=mixed``.
WIDE = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Named samplings: the keep probabilities that are mixed, in equal parts.
DENSITIES: dict[str, tuple[float, ...]] = {
    "wide": WIDE,
    "mixed": TEST_DENSITIES,
    "uniform": (0.5,),
}
#: Rounds in which masks are asked where they may be chosen; each is one kernel and one full batch.
ROUNDS = 4
#: Share of the masks that are drawn before any is chosen: faithfulness is measured on these.
FIRST_SHARE = 0.4
#: Masks that a round is worth, at least.
_LEAST_CHOSEN = 8
#: α by default, from which on few features are asked in all subsets: the least the paper uses.
ALPHA = 2.0
#: What ``budget="auto"`` starts with, and ends at, as multiples of n log2 n: half of the least the
#: paper uses, and the most.
AUTO_ALPHAS = (0.5, 8.0)

Sampling = str | float | Sequence[float]
Question = Literal["any", "input", "shapley", "subsets"]


@dataclass(frozen=True, eq=False)
class Queries(Frozen):
    """Every mask the model was asked, and its answer; ``n_fit`` were fitted, the rest held out.

    Attributes:
        masks: (m, n) bool, 1 = kept. Row 0 keeps everything, row 1 nothing.
        values: (m,) float64.
        n_fit: rows used for fitting; all of them where every subset was enumerated.
        densities: (m,) the keep probability each mask was drawn with; 0 where it was not drawn but
            chosen for what it would tell.
    """

    masks: BoolArray
    values: FloatArray
    n_fit: int
    densities: FloatArray

    def __post_init__(self) -> None:
        m = len(self.masks)
        if self.masks.ndim != 2 or self.values.shape != (m,) or self.densities.shape != (m,):
            raise InputError(
                "queries need masks (m, n), values (m,) and densities (m,), got "
                f"{self.masks.shape}, {self.values.shape}, {self.densities.shape}."
            )
        if not 0 <= self.n_fit <= m:
            raise InputError(f"n_fit must lie between 0 and {m}, got {self.n_fit}.")
        for array in (self.masks, self.values, self.densities):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Goal:
    """When ``budget="auto"`` has asked enough.

    Attributes:
        r2: R² that the explanation should have at each of the densities 0.5, 0.7 and 0.9.
        width: how wide the 90% intervals of the single features' effects may be, at the median,
            in the value's unit.

    Example:
        >>> Goal(r2=0.9)
        Goal(r2=0.9, width=None)
    """

    r2: float | None = None
    width: float | None = None

    def __post_init__(self) -> None:
        if self.r2 is not None:
            as_fraction("goal r2", self.r2)
        if self.width is not None and not self.width > 0:
            raise InputError(f"goal width must be above 0, got {self.width!r}.")
        if self.r2 is None and self.width is None:
            raise InputError("a goal needs r2 or width: say what is to be reached.")


@dataclass(frozen=True)
class Plan:
    """How many masks will be asked, decided before any model call.

    Attributes:
        budget: masks to fit, the full and the empty one among them; with a goal, the most.
        n_test: held-out masks at each density; 0 where every subset is asked.
        exact: every one of the 2^n subsets is asked, so there is nothing to estimate.
        densities: keep probabilities of the masks that are drawn, in equal shares.
        rounds: in how many rounds masks are asked; from the second on they are chosen.
        question: what they are chosen for.
        goal: ends the rounds early; None asks the whole budget.
    """

    n_features: int
    budget: int
    n_test: int
    exact: bool
    densities: tuple[float, ...]
    rounds: int = 1
    question: Question = "any"
    goal: Goal | None = None

    @property
    def calls(self) -> int:
        """At most how many model calls."""
        return self.budget + self.n_test * len(TEST_DENSITIES)

    @property
    def first(self) -> int:
        """Masks drawn in the first round."""
        if self.goal is not None:
            return min(self.budget, max(MIN_BUDGET, budget_for(self.n_features, AUTO_ALPHAS[0])))
        if self.rounds == 1:
            return self.budget
        return min(self.budget, max(MIN_BUDGET, round(FIRST_SHARE * self.budget)))


def plan(
    n_features: int,
    *,
    alpha: float | None = None,
    budget: int | Literal["auto"] | None = None,
    n_test: int = 0,
    density: Sampling | None = None,
    question: Question = "any",
    rounds: int | None = None,
    goal: Goal | None = None,
) -> Plan:
    """Decide the model calls from ``alpha`` (budget = alpha * n * log2 n) or an exact ``budget``.

    Args:
        budget: a number of masks, or ``"auto"``: as many as ``goal`` needs, at most alpha * n *
            log2 n (default alpha 8).
        question: what the masks should tell. ``"any"``: predictions with any share of the features
            kept, effects at the input and Shapley values alike. ``"input"``: effects of one
            feature and of two at the input. ``"shapley"``: Shapley values and interactions.
            ``"subsets"``: uniform over all subsets, as in the paper, all drawn at once.
        density: draw all masks with these shares of the features kept instead, one or several in
            equal parts, or ``"wide"`` (0.1 to 0.9), ``"mixed"`` (0.5, 0.7, 0.9) or ``"uniform"``.
        rounds: 1 draws all masks; more choose those of the later rounds by the answers to the
            earlier ones. Default 4, fewer where the budget is small, 1 with ``density``.

    Raises:
        InputError: arguments that contradict each other or are out of range; a budget below 20
            (and below 2^n).
    """
    auto = budget == "auto"
    if alpha is not None and budget is not None and not auto:
        raise InputError(f"give alpha or budget, not both (got alpha={alpha}, budget={budget}).")
    if question not in get_args(Question):
        raise InputError(
            f"question must be one of {', '.join(get_args(Question))}, got {question!r}."
        )
    if auto != (goal is not None):
        raise InputError('a goal and budget="auto" come together: give both, or neither.')
    densities = _densities(question, density)
    if rounds is not None:
        rounds = as_integer("rounds", rounds, 1, 100)
    fixed = density is not None or question == "subsets"
    if fixed and ((rounds or 1) > 1 or auto):
        raise InputError(
            "density and question='subsets' draw all masks at once: leave them out for rounds or "
            "budget='auto'."
        )
    n_test = as_integer("n_test", n_test, 0, 10**6)
    if n_test == 1:
        raise InputError("n_test must be 0 or at least 2 masks a density, got 1.")
    default = AUTO_ALPHAS[1] if auto else ALPHA
    if isinstance(budget, str) and not auto:
        raise InputError(f"budget must be a number of masks or 'auto', got {budget!r}.")
    if budget is None or auto:
        masks = budget_for(n_features, default if alpha is None else alpha)
        least = MIN_BUDGET  # fewer cannot be fitted at all
    else:
        masks = least = as_integer("budget", budget, 1, 10**7)
    subsets = 2**n_features if n_features <= MAX_ENUMERATED else None
    by_default = budget is None and (alpha is None or alpha >= ALPHA)
    # Up to 8 features all subsets are fewer than the held-out masks and the budget once were.
    affordable = max(masks, least, _FEW_SUBSETS if by_default else 0)
    if auto:
        affordable = MIN_BUDGET  # the first round alone: of so few, all subsets are in it
    if subsets is not None and affordable >= subsets:
        return Plan(n_features, subsets, 0, exact=True, densities=densities, question=question)
    if masks < MIN_BUDGET:
        given = f"budget={budget}" if alpha is None else f"alpha={alpha} (budget {masks})"
        raise InputError(
            f"{given} is too small for {n_features} features: at least {MIN_BUDGET} masks are "
            "needed to fit and cross-validate. Raise alpha or budget, or leave both out."
        )
    if rounds is None:
        left = masks - max(MIN_BUDGET, round(FIRST_SHARE * masks))
        rounds = 1 if fixed else 1 + max(0, min(ROUNDS - 1, left // _LEAST_CHOSEN))
    if subsets is not None:
        masks = min(masks, subsets)
    return Plan(
        n_features,
        masks,
        n_test,
        exact=False,
        densities=densities,
        rounds=rounds,
        question=question,
        goal=goal,
    )


#: Up to this many, all subsets are asked by default (2^8).
_FEW_SUBSETS = 256


def _densities(question: Question, density: Sampling | None) -> tuple[float, ...]:
    if density is None:
        by_question = {"input": TEST_DENSITIES, "subsets": DENSITIES["uniform"]}
        return by_question.get(question, WIDE)
    if isinstance(density, str):
        if density not in DENSITIES:
            raise InputError(
                f"unknown density {density!r}; name one of {', '.join(DENSITIES)}, or give "
                "numbers between 0 and 1."
            )
        return DENSITIES[density]
    try:
        densities = tuple(float(d) for d in np.atleast_1d(np.asarray(density, dtype=np.float64)))
    except (TypeError, ValueError):
        densities = ()
    if not densities or not all(0 < d < 1 for d in densities):
        raise InputError(f"density must lie strictly between 0 and 1, got {density!r}.")
    return densities

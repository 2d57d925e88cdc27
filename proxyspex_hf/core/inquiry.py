"""Drawing and choosing masks, round after round, without knowing who answers.

:func:`inquiry` is a generator: it yields masks and is sent their values, so that many inputs can be
asked beside each other. The functions of one input (several labels of it) share its masks, which
are chosen for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from proxyspex_hf.checks import BoolArray, FloatArray
from proxyspex_hf.core.algorithm import enumerated
from proxyspex_hf.core.design import CHOSEN_PER_FEATURE, MOST_CHOSEN, choose_masks
from proxyspex_hf.core.faithfulness import TEST_DENSITIES, held_out_masks, left_out_r2
from proxyspex_hf.core.masks import MAX_ENUMERATED, sample_masks
from proxyspex_hf.core.posterior import Z90, Doubt, Posterior
from proxyspex_hf.core.proxies.kernel import MaskKernel, learn_kernel, signs
from proxyspex_hf.core.proxies.sibling import Sibling
from proxyspex_hf.core.queries import MIN_BUDGET, Goal, Plan, Queries
from proxyspex_hf.core.shares import at_share
from proxyspex_hf.core.threads import one_blas_thread
from proxyspex_hf.core.values import level_and_scale
from proxyspex_hf.errors import InputError

#: Functions of one input whose posteriors choose masks: of many labels, the first few.
_MOST_FUNCTIONS = 3
#: Masks from which the kernel of a round is learnt.
_LEARN_ON = 400
#: Digits of a standardised value that count for the choice of masks.
_DIGITS = 3
#: Of the masks asked so far, what a round of budget="auto" adds.
_AUTO_GROWTH = 0.4


@dataclass
class Asked:
    """Masks in the order in which they were asked, and the values of each function.

    Attributes:
        masks, densities: as in :class:`Queries`; the last ``n_test`` rows are held out.
        values: one (m,) array a function.
    """

    masks: BoolArray
    densities: FloatArray
    values: list[FloatArray]
    n_test: int = 0

    def queries(self, function: int) -> Queries:
        """What one function was asked and answered."""
        m = len(self.masks)
        return Queries(self.masks, self.values[function], m - self.n_test, self.densities)


#: Yields masks (b, n), is sent one (b,) array of values a function, returns all of them.
Inquiry = Generator[BoolArray, Sequence[FloatArray], Asked]


def ask(steps: Inquiry, answer: Callable[[BoolArray], Sequence[FloatArray]]) -> Asked:
    """Run an inquiry to its end."""
    try:
        masks = next(steps)
        while True:
            masks = steps.send(answer(masks))
    except StopIteration as done:
        found: Asked = done.value
        return found


def inquiry(
    how: Plan,
    seed: int,
    *,
    known: Asked | None = None,
    start: MaskKernel | None = None,
    siblings: Sequence[Sibling | None] = (),
) -> Inquiry:
    """Ask what a plan says.

    Args:
        known: what was asked before; it counts towards the budget and is not asked again.
        start: kernel of an earlier, similar function: what is likely of this one's.
        siblings: of each function, what a cheaper model says of it: masks are chosen for what is
            left to be known.

    Raises:
        InputError: so few distinct masks exist at the plan's densities that nothing can be fitted.
    """
    rng = np.random.default_rng(seed)
    if how.exact:
        masks = enumerated(how.n_features)
        values = yield masks
        return Asked(masks, np.full(len(masks), 0.5), list(values))
    if known is None:
        try:
            masks, densities = draw(how, how.first, rng)
        except MemoryError as error:
            raise InputError(
                f"{how.first:,} masks of {how.n_features:,} features do not fit into memory "
                f"({error}): ask fewer of them (alpha, budget), or of fewer features."
            ) from error
        values = yield masks
        asked = Asked(masks, densities, [np.asarray(v, dtype=np.float64) for v in values])
    else:
        asked = known
    functions = min(len(asked.values), _MOST_FUNCTIONS)
    told = siblings or [None] * functions
    all_drawn = how.rounds == 1 and how.goal is None
    # What resumes from earlier masks asks at least one round more.
    left = how.rounds - 1 if known is None else max(1, how.rounds - 1)
    while size := _size(how, left, len(asked.masks)):
        posteriors = [
            _posterior(asked, values, start, sibling, rng)
            for values, sibling in zip(asked.values[:functions], told, strict=False)
        ]
        usable = [p for p in posteriors if p is not None and not all_drawn]
        if how.goal is not None and posteriors[0] and _reached(how.goal, asked, posteriors[0]):
            break
        chosen, drawn = _next(how, usable, size, asked, rng)
        if not len(chosen[0]) + len(drawn[0]):
            break
        new = np.concatenate([chosen[0], drawn[0]])
        values = yield new
        asked = Asked(
            np.concatenate([asked.masks, new]),
            np.concatenate([asked.densities, chosen[1], drawn[1]]),
            [np.concatenate([a, b]) for a, b in zip(asked.values, values, strict=True)],
        )
        left -= 1
    tests = held_out_masks(how.n_features, asked.masks, how.n_test, rng) if how.n_test else []
    if tests:
        masks = np.concatenate([rows for _, rows in tests])
        values = yield masks
        asked = Asked(
            np.concatenate([asked.masks, masks]),
            np.concatenate([asked.densities, *(np.full(len(r), d) for d, r in tests)]),
            [np.concatenate([a, b]) for a, b in zip(asked.values, values, strict=True)],
            n_test=len(masks),
        )
    return asked


def draw(how: Plan, count: int, rng: np.random.Generator) -> tuple[BoolArray, FloatArray]:
    """Masks of the plan's densities in equal parts, and the density of each.

    Raises:
        InputError: so few distinct masks exist there that nothing can be fitted.
    """
    shares = np.full(len(how.densities), count // len(how.densities))
    # What is left over goes to the densities nearest to one half, where masks differ most.
    nearest = np.argsort(np.abs(np.array(how.densities) - 0.5), kind="stable")
    shares[nearest[: count % len(how.densities)]] += 1
    masks = np.zeros((0, how.n_features), dtype=np.bool_)
    drawn: list[float] = []
    for density, share in zip(how.densities, shares.tolist(), strict=True):
        # The full and the empty mask come first and count towards the first density.
        wanted = max(share, 2) if len(masks) == 0 else share
        if wanted:
            new = sample_masks(
                how.n_features,
                wanted,
                density=density,
                seed=rng,
                exclude=masks,
                anchors=len(masks) == 0,
            )
            masks = np.concatenate([masks, new])
            drawn += [density] * len(new)
    if len(masks) < min(MIN_BUDGET, count):
        raise InputError(
            f"only {len(masks)} distinct masks of {how.n_features} features could be drawn at "
            f"density {how.densities}; choose densities nearer to 0.5."
        )
    densities = np.array(drawn)
    densities[:2] = 0.0  # the two anchors are not drawn
    return masks, densities


def _size(how: Plan, left: int, done: int) -> int:
    """Masks of the next of the ``left`` later rounds, 0 where there is none."""
    unasked = max(0, how.budget - done)
    if how.goal is not None:
        return min(unasked, max(MIN_BUDGET, round(_AUTO_GROWTH * done)))
    return -(-unasked // left) if left > 0 else 0


def _next(
    how: Plan,
    posteriors: Sequence[Posterior],
    size: int,
    known: Asked,
    rng: np.random.Generator,
) -> tuple[tuple[BoolArray, FloatArray], tuple[BoolArray, FloatArray]]:
    """Chosen masks, and such as are drawn: a share for the test where a goal is to be reached,
    and what a round cannot choose."""
    to_draw = round(0.4 * size) if how.goal is not None and how.goal.r2 is not None else 0
    chosen_before = int((known.densities[2:] == 0.0).sum())
    room = min(MOST_CHOSEN, CHOSEN_PER_FEATURE * how.n_features - chosen_before)
    to_draw = max(to_draw, size - max(0, room)) if posteriors else size
    asked = known.masks
    chosen = np.zeros((0, how.n_features), dtype=np.bool_)
    if how.n_features <= MAX_ENUMERATED and len(asked) + size >= 2**how.n_features:
        # The last few masks are hardly ever drawn, and without them nothing is exact.
        rest = _others(enumerated(how.n_features), asked)
        return (chosen, np.zeros(0)), (rest, np.full(len(rest), 0.5))
    if size > to_draw:
        with one_blas_thread():
            chosen = choose_masks(posteriors, how.question, size - to_draw, asked, rng)
        to_draw = size - len(chosen)
    taken = np.concatenate([asked, chosen])
    parts, densities = [np.zeros((0, how.n_features), dtype=np.bool_)], [np.zeros(0)]
    shares = np.array_split(np.arange(to_draw), len(how.densities))
    for density, share in zip(how.densities, shares, strict=True):
        if len(share):
            new = sample_masks(
                how.n_features, len(share), density=density, seed=rng, exclude=taken, anchors=False
            )
            taken = np.concatenate([taken, new])
            parts.append(new)
            densities.append(np.full(len(new), density))
    missing = to_draw - sum(map(len, parts))
    if missing and how.rounds > 1 and how.n_features <= MAX_ENUMERATED:
        # At some densities there are no more masks, or hardly any that are drawn.
        rest = _others(enumerated(how.n_features), taken)
        parts.append(rest[rng.permutation(len(rest))[:missing]])
        densities.append(np.zeros(len(parts[-1])))
    drawn = np.concatenate(parts), np.concatenate(densities)
    return (chosen, np.zeros(len(chosen))), drawn


def _others(masks: BoolArray, known: BoolArray) -> BoolArray:
    """Those of (m, n) masks that are not known."""
    taken = {row.tobytes() for row in known}
    return masks[[row.tobytes() not in taken for row in masks]]


def _posterior(
    asked: Asked,
    values: FloatArray,
    likely: MaskKernel | None,
    sibling: Sibling | None,
    rng: np.random.Generator,
) -> Posterior | None:
    """Of what one function answered so far; None where its values do not vary.

    The kernel is not learnt on from that of the round before: where few masks made a variance
    vanish, its logarithm has no gradient that would bring it back.

    Args:
        likely: the kernel of an earlier function.
    """
    level, scale = level_and_scale(values)
    if scale == 0.0:
        return None
    rows = np.concatenate([[0], 1 + rng.permutation(len(values) - 1)])[:_LEARN_ON]
    # The last digits differ with the batch; the next masks are not to depend on them.
    standard = np.round((values - level) / scale, _DIGITS)
    with one_blas_thread():
        kernel = learn_kernel(
            signs(asked.masks[rows]),
            standard[rows],
            likely=likely,
            sibling=sibling,
        )
    return Posterior(Doubt(kernel, 0.0, 1.0), asked.masks, standard)


def _reached(goal: Goal, asked: Asked, posterior: Posterior) -> bool:
    """Whether the first function's answers so far meet the goal."""
    _, scale = level_and_scale(asked.values[0])
    used = posterior.used
    left_out = posterior.values.copy()
    left_out[used] = posterior.left_out()
    if goal.width is not None:
        singles = np.arange(asked.masks.shape[1], dtype=np.int32)[:, None]
        found = posterior.derivatives(singles, at_share(1.0))
        # As the intervals shown are: no narrower than what was left out says they may be.
        reach = 2.0 * Z90 * scale * posterior.inflation_of(left_out)
        if reach * float(np.median(found.deviation)) > goal.width:
            return False
    if goal.r2 is not None:
        known = (
            asked.masks[used],
            posterior.values[used],
            left_out[used],
            asked.densities[used],
        )
        for density in TEST_DENSITIES:
            score = left_out_r2(*known, density)
            if score.r2 is None or score.r2 < goal.r2:
                return False
    return True

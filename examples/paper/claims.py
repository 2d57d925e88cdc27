"""The paper's claims, each with where it stands and what measures it: the rows of docs/paper.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from measures import (
    gap_grows,
    how_many_interactions,
    lasso_levels_off,
    low_degree,
    near_the_input,
    over_lasso,
    r2_rises,
    rate,
    removals,
    shortcuts,
    solving_is_quick,
    speed,
    spex_fits_quicker,
    spex_needs_alpha,
    spex_removal,
    times_of_spex,
    two_hundred,
)
from measures_proxies import trees_fail_on_peaks, trees_lead_hierarchy, trees_lead_real
from reading import Measured, Results

__all__ = ["CLAIMS", "Claim", "Results"]


@dataclass(frozen=True)
class Claim:
    """What the paper says, where, and how it is measured here."""

    text: str
    where: str
    figure: str
    measured: Callable[[Results], Measured]


CLAIMS = (
    Claim(
        "SPEX needs about 10 times the inferences for the same R² (our default)",
        "abstract, figure 1", "figure01", times_of_spex("default"),
    ),
    Claim(
        "the same, of ProxySPEX with the paper's trees",
        "abstract, figure 1", "figure01", times_of_spex("paper"),
    ),
    Claim(
        "R² is 15 to 25% above LASSO's on average over α (our default)",
        "1, 4.1", "figure06", over_lasso("default"),
    ),
    Claim(
        "the same, of ProxySPEX with the paper's trees",
        "1, 4.1", "figure06", over_lasso("paper"),
    ),
    Claim(
        "LASSO levels off where ProxySPEX goes on to gain",
        "4.1, figures 1, 6", "figure06", lasso_levels_off,
    ),
    Claim("the gap to LASSO grows with α", "figure 6", "figure06", gap_grows),
    Claim(
        "SPEX keeps up with LASSO at large α only", "figure 6", "figure06", spex_needs_alpha
    ),
    Claim(
        "the direct subset rate is above 80% at every k",
        "3.2, figure 3", "figure03", rate("dsr", 0.8),
    ),
    Claim("the staircase rate is near 100%", "B.2, figure 10", "figure03", rate("scr", 0.95)),
    Claim(
        "the strong hierarchy rate falls with k, but stays high (here: above half)",
        "B.2, figure 10", "figure03", rate("shr", 0.5),
    ),
    Claim("R² rises steadily with k", "B.2, figure 10", "figure03", r2_rises),
    Claim("interactions are of low order", "3.1", "figure03", low_degree),
    Claim(
        "about 200 coefficients keep the R² (here: 95% of it)",
        "3.3, B.3, figures 5, 11", "figure05", two_hundred,
    ),
    Claim(
        "removal sets change the output over 20% more than LASSO's (our default)",
        "abstract, 4.2, figure 7", "figure07", removals("default", "lasso"),
    ),
    Claim(
        "the same, of ProxySPEX with the paper's trees",
        "abstract, 4.2, figure 7", "figure07", removals("paper", "lasso"),
    ),
    Claim(
        "the same, both fitted to masks of three densities (not in the paper)",
        "–", "figure07", removals("default, mixed", "lasso, mixed"),
    ),
    Claim(
        "SPEX's removal sets do better than LASSO's on reviews alone",
        "4.2, figure 7", "figure07", spex_removal,
    ),
    Claim(
        "solving for removal sets takes next to no time", "4.2", "figure07", solving_is_quick
    ),
    Claim(
        "boosted trees lead by far on a complete hierarchy, also over random forests",
        "3.2, B.4, figure 12a", "figure12", trees_lead_hierarchy,
    ),
    Claim(
        "boosted trees lead on a real model (there: Sentiment)",
        "3.2, B.4, figure 12b", "figure12", trees_lead_real,
    ),
    Claim(
        "boosted trees fail on peaks without a hierarchy",
        "6, B.4, figure 12c", "figure12", trees_fail_on_peaks,
    ),
    Claim(
        "3 to 5 times as fast as SPEX at the same R² (our default)",
        "4.1, B.5, figure 13", "figure13", speed("default"),
    ),
    Claim(
        "the same, of ProxySPEX with the paper's trees",
        "4.1, B.5, figure 13", "figure13", speed("paper"),
    ),
    Claim(
        "at as many masks SPEX's own computation is often quicker",
        "4.1", "figure13", spex_fits_quicker,
    ),
    Claim(
        "R² of the default at densities 0.5 / 0.7 / 0.9, by the masks fitted",
        "–", "figure06", near_the_input,
    ),
    Claim(
        "how much of the spectrum is interactions",
        "–", "figure03", how_many_interactions,
    ),
    Claim(
        "what more trees and soft decoding change (medians)",
        "–", "shortcuts", shortcuts,
    ),
)  # fmt: skip

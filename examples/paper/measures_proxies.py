"""What the results say of one proxy beside another (figure 12); see ``measures.py``."""

from __future__ import annotations

from common import Row
from reading import Measured, Results, listed, median, of, signed, verdict


def _proxies(results: Results, dataset: str) -> Row:
    """Median R² of each proxy at the largest α."""
    rows = of(results("figure12")["rows"], dataset=dataset)
    alpha = max(row["alpha"] for row in rows)
    found: Row = {"alpha": alpha}
    for method in dict.fromkeys(row["method"] for row in rows):
        key = "spectrum_r2" if method == "spex" else "proxy_r2"
        found[method] = median(of(rows, alpha=alpha, method=method), key)
    return found


def _each(found: Row) -> str:
    numbers = [f"{name} {signed(r2)}" for name, r2 in found.items() if name != "alpha"]
    return f"α = {found['alpha']}: " + ", ".join(numbers)


def trees_lead_hierarchy(results: Results) -> Measured:
    """The paper's trees above LASSO, forest and network by 0.1 at the largest α."""
    found = _proxies(results, "complete hierarchy")
    others = [found[name] for name in ("lasso", "forest", "network")]
    return _each(found), verdict([found["paper"] > max(others) + 0.1])


def trees_lead_real(results: Results) -> Measured:
    """The paper's trees above LASSO, forest and network on each real input at the largest α."""
    parts, held = [], []
    for dataset in dict.fromkeys(row["dataset"] for row in results("figure12")["rows"]):
        if dataset in ("complete hierarchy", "peak"):
            continue
        found = _proxies(results, dataset)
        parts.append(f"{dataset}, {_each(found)}")
        held.append(found["paper"] > max(found[name] for name in ("lasso", "forest", "network")))
    return listed(parts), verdict(held)


def trees_fail_on_peaks(results: Results) -> Measured:
    """Neither our default nor the paper's trees reach R² 0.1; SPEX does."""
    found = _proxies(results, "peak")
    held = [found["paper"] < 0.1, found.get("spex", 1.0) > 0.9]
    return _each(found), verdict(held)

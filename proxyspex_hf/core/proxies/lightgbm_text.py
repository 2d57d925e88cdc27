"""LightGBM's text form of a model, as arrays of trees."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np

from proxyspex_hf.core.trees import TreeEnsemble


def read_lightgbm(
    booster: lgb.Booster, n_features: int, n_trees: int | None = None
) -> TreeEnsemble:
    """The first ``n_trees`` trees of a booster as arrays, read from its text form.

    The text form parses ten times as fast as the JSON dump.
    """
    feature: list[Any] = []
    left: list[Any] = []
    right: list[Any] = []
    value: list[Any] = []
    roots: list[int] = []
    nodes = 0
    tree: dict[str, Any] = {}
    kinds = {
        "split_feature": np.int32,
        "left_child": np.int32,
        "right_child": np.int32,
        "leaf_value": np.float64,
    }
    for line in booster.model_to_string(num_iteration=n_trees or -1).splitlines():
        name, _, text = line.partition("=")
        if name in kinds:
            tree[name] = np.array(text.split(), dtype=kinds[name])
        elif name == "is_linear":  # the last field before a tree's end that is always there
            leaves = tree["leaf_value"]
            splits = len(leaves) - 1
            none = np.zeros(0, dtype=np.int32)
            roots.append(nodes)
            feature.append(np.append(tree.get("split_feature", none), [-1] * len(leaves)))
            for side, out in (("left_child", left), ("right_child", right)):
                child = tree.get(side, none)
                # A negative child is the complement of a leaf's number; leaves follow the splits.
                out.append(np.where(child >= 0, child, splits - child - 1) + nodes)
                out.append(np.zeros(len(leaves), dtype=np.int32))
            value.append(np.append(np.zeros(splits), leaves))
            nodes += splits + len(leaves)
            tree = {}
    return TreeEnsemble(
        n_features=n_features,
        feature=np.concatenate(feature).astype(np.int32),
        left=np.concatenate(left).astype(np.int32),
        right=np.concatenate(right).astype(np.int32),
        value=np.concatenate(value),
        roots=np.array(roots, dtype=np.int32),
    )

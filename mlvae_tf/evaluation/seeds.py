"""Several runs that differ in their seed alone: mean and spread."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

BOUNDS = (
    "group_elbo",
    "group_reconstruction",
    "group_content_kl",
    "group_style_kl",
    "importance_weighted_bound",
)


def rows(results: list[dict[str, Any]]) -> list[tuple[str, list[float]]]:
    """The figures that runs are compared by.

    Args:
        results: What each run's `metrics.json` holds.

    Returns:
        Each figure's name, and its value in every run.
    """

    def every(*path: str) -> list[float]:
        return [functools.reduce(operator.getitem, path, r) for r in results]

    first = results[0]
    few = next(iter(first["content_accuracy"]))
    sampled = "sampled", "content_accuracy", few
    table = [
        (f"content accuracy, k = {k}", every("content_accuracy", k))
        for k in first["content_accuracy"]
    ]
    table += [
        (f"content accuracy, sampled, k = {few}", every(*sampled)),
        ("style accuracy", every("style_accuracy")),
        ("style accuracy, sampled", every("sampled", "style_accuracy")),
        ("chance accuracy", every("chance_accuracy")),
        (f"content entropy, k = {few}", every("content_entropy", few)),
        ("style entropy", every("style_entropy")),
        ("judge accuracy", every("swap", "judge_accuracy")),
    ]
    table += [
        (f"swap accuracy, k = {k}", every("swap", "content_group", k))
        for k in first["swap"]["content_group"]
    ]
    unseen = first.get("unseen", {})
    for name, shots in unseen.get("identification", {}).items():
        for k in shots:
            path = "unseen", "identification", name, k
            label = f"unseen accuracy, {name.replace('_', ' ')}, {k} shots"
            table.append((label, every(*path)))
    for name in unseen.get("verification_auc", {}):
        label = f"verification AUC, {name.replace('_', ' ')}"
        table.append((label, every("unseen", "verification_auc", name)))
    return table + [(name.replace("_", " "), every(name)) for name in BOUNDS]


def table(rows: list[tuple[str, list[float]]]) -> list[list[str]]:
    """Header and rows as text: mean, least and greatest."""
    lines = [["what", "mean", "least", "greatest"]]
    for name, values in rows:
        exact = any(word in name for word in ("accuracy", "entropy", "AUC"))
        numbers = np.mean(values), np.min(values), np.max(values)
        digits = 3 if exact else 1
        lines.append([name, *(f"{number:.{digits}f}" for number in numbers)])
    return lines

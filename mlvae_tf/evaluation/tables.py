"""The figures by name: of one run with intervals, of several with spread."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np

Table = list[list[str]]
Path = tuple[str, ...]

BOUNDS = (
    "group_elbo",
    "group_reconstruction",
    "group_content_kl",
    "group_style_kl",
    "elbo_per_observation",
    "reconstruction_per_observation",
    "importance_weighted_bound",
)
SHOTS = "{} shots"


def paths(results: dict[str, Any]) -> list[tuple[str, Path]]:
    """Names of the figures that are reported, and where they are.

    Args:
        results: What `metrics.json` holds.
    """
    found: list[tuple[str, Path]] = []

    def by_count(label: str, *path: str, unit: str = "k = {}") -> None:
        found.extend(
            (f"{label}, {unit.format(k)}", (*path, k))
            for k in at(results, path)
        )

    if "content_accuracy" in results:
        for suffix, prefix in (("", ()), (", sampled", ("sampled",))):
            for kind in ("accuracy", "entropy"):
                by_count(f"content {kind}{suffix}", *prefix, f"content_{kind}")
                path = *prefix, f"style_{kind}"
                found.append((f"style {kind}{suffix}", path))
        for way in results.get("style_given", {}):
            found.append((f"style accuracy, {way}", ("style_given", way)))
        found.append(("chance accuracy", ("chance_accuracy",)))
        found.append(("judge accuracy", ("swap", "judge_accuracy")))
        by_count("swap accuracy", "swap", "content_group")
        by_count("calibration of contents", "calibration")
    unseen = results.get("unseen", {})
    for name in unseen.get("identification", {}):
        label = f"unseen accuracy, {name.replace('_', ' ')}"
        by_count(label, "unseen", "identification", name, unit=SHOTS)
    for name in unseen.get("verification_auc", {}):
        path = "unseen", "verification_auc", name
        found.append((f"verification AUC, {name.replace('_', ' ')}", path))
    if "swap" in unseen:
        path = "unseen", "swap"
        by_count("unseen judge accuracy", *path, "judge_accuracy", unit=SHOTS)
        by_count("unseen swap accuracy", *path, "content_group", unit=SHOTS)
    for name, of_level in results.get("levels", {}).items():
        found += _of_level(name, of_level)
    bounds = [name for name in results if _is_bound(name)]
    return found + [(name.replace("_", " "), (name,)) for name in bounds]


def _of_level(name: str, of_level: dict[str, Any]) -> list[tuple[str, Path]]:
    """The same of one of several levels: what each latent says of it."""
    path = "levels", name
    found: list[tuple[str, Path]] = []
    for k in of_level.get("content_accuracy", {}):
        label = f"{name} told by its content, k = {k}"
        found.append((label, (*path, "content_accuracy", k)))
    for other in of_level["told_by"]:
        label = f"{name} told by the content of {other}"
        found.append((label, (*path, "told_by", other)))
    if "style_accuracy" in of_level:
        found.append((f"{name} told by style", (*path, "style_accuracy")))
    return [*found, (f"{name}, chance", (*path, "chance_accuracy"))]


def _is_bound(name: str) -> bool:
    """Whether it is in nats; a level may have any name."""
    return name in BOUNDS or name.startswith("group_")


def at(tree: dict[str, Any], path: Path) -> Any:
    """What lies at a path."""
    return functools.reduce(operator.getitem, path, tree)


def _text(path: Path, *values: float) -> list[str]:
    """Bounds in tenths of a nat, everything else to three places."""
    digits = 1 if _is_bound(path[0]) else 3
    return [f"{value:.{digits}f}" for value in values]


def one(results: dict[str, Any]) -> Table:
    """Header and rows of one run: values and 95% intervals."""
    rows = [["what", "value", "95% interval"]]
    for label, path in paths(results):
        try:
            interval = " to ".join(_text(path, *at(results["intervals"], path)))
        except KeyError:
            interval = ""
        rows.append([label, *_text(path, at(results, path)), interval])
    return rows


def several(runs: list[dict[str, Any]]) -> Table:
    """Header and rows of several runs: mean, least and greatest."""
    rows = [["what", "mean", "least", "greatest"]]
    for label, path in paths(runs[0]):
        values = [at(results, path) for results in runs]
        spread = np.mean(values), np.min(values), np.max(values)
        rows.append([label, *_text(path, *spread)])
    return rows


def as_text(table: Table) -> str:
    """For a terminal: first column to the left, others to the right."""
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = []
    for first, *rest in table:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * sum(widths, 2 * (len(widths) - 1)))
    return "\n".join(lines)

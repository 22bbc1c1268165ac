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
    found = _of_content(results) if "content_accuracy" in results else []
    found += _of_unseen(results, "unseen")
    for name, of_level in results.get("levels", {}).items():
        found += _of_level(name, of_level)
    found += _of_combinations(results.get("combinations", {}))
    bounds = [name for name in results if _is_bound(name)]
    return found + [(name.replace("_", " "), (name,)) for name in bounds]


def _by(
    tree: dict[str, Any], label: str, *path: str, unit: str = "k = {}"
) -> list[tuple[str, Path]]:
    """What lies at a path, one for each of its keys; none if it is not there.

    Args:
        tree: The figures.
        label: Of all of them.
        path: Where they are.
        unit: What a key is called.
    """
    for key in path:
        tree = tree.get(key, {})
    return [(f"{label}, {unit.format(k)}", (*path, k)) for k in tree]


def _of_content(results: dict[str, Any]) -> list[tuple[str, Path]]:
    """Of the groups that were trained on."""
    found = []
    for suffix, prefix in (("", ()), (", sampled", ("sampled",))):
        for kind in ("accuracy", "entropy"):
            path = *prefix, f"content_{kind}"
            found += _by(results, f"content {kind}{suffix}", *path)
            path = *prefix, f"style_{kind}"
            found.append((f"style {kind}{suffix}", path))
    found += _by(results, "style accuracy", "style_given", unit="{}")
    found.append(("chance accuracy", ("chance_accuracy",)))
    if "style_chance" in results:
        found.append(("chance accuracy, of as many probes", ("style_chance",)))
    found.append(("judge accuracy", ("swap", "judge_accuracy")))
    found += _by(results, "swap accuracy", "swap", "content_group")
    return found + _by(results, "calibration of contents", "calibration")


def _of_unseen(
    results: dict[str, Any], called: str, *path: str
) -> list[tuple[str, Path]]:
    """Of groups that were not, `path` leading to `unseen`."""
    path = *path, "unseen"
    unseen = results.get("unseen", {})
    found = []
    for name in unseen.get("identification", {}):
        label = f"{called} accuracy, {name.replace('_', ' ')}"
        of_name = _by(unseen, label, "identification", name, unit=SHOTS)
        found += [(text, (*path, *of)) for text, of in of_name]
    before = called.removesuffix("unseen")
    for name in unseen.get("verification_auc", {}):
        label = f"{before}verification AUC, {name.replace('_', ' ')}"
        found.append((label, (*path, "verification_auc", name)))
    for name, key in (("judge", "judge_accuracy"), ("swap", "content_group")):
        label = f"{called} {name} accuracy"
        of_name = _by(unseen, label, "swap", key, unit=SHOTS)
        found += [(text, (*path, *of)) for text, of in of_name]
    return found


def _of_level(name: str, of_level: dict[str, Any]) -> list[tuple[str, Path]]:
    """The same of one of several levels: what each latent says of it."""
    found = _by(of_level, f"{name} told by its content", "content_accuracy")
    label = f"{name} told by the content of"
    for other in of_level.get("told_by", {}):
        found.append((f"{label} {other}", ("told_by", other)))
    for key, label in (
        ("among_unseen", f"{name} told by its content, in groups never seen"),
        ("style_accuracy", f"{name} told by style"),
        ("chance_accuracy", f"{name}, chance"),
    ):
        if key in of_level:
            found.append((label, (key,)))
    if "swap" in of_level:
        label = f"judge accuracy, {name}"
        found.append((label, ("swap", "judge_accuracy")))
    label = f"swap accuracy, {name}"
    found += _by(of_level, label, "swap", "content_group")
    label = f"swap of {name}"
    found += _by(of_level, label, "swap", "kept", unit="{} is kept")
    found += _by(of_level, f"calibration of {name}", "calibration")
    found += _of_unseen(of_level, f"{name}: unseen")
    return [(label, ("levels", name, *path)) for label, path in found]


def _of_combinations(results: dict[str, Any]) -> list[tuple[str, Path]]:
    """How far what is made of combinations never seen is from the truth."""
    found = _by(results, "error of combinations", "held_out", unit="{}")
    for k in results.get("unseen", {}):
        label = f"error of unseen, {SHOTS.format(k)}"
        found += _by(results, label, "unseen", k, unit="{}")
    return [(label, ("combinations", *path)) for label, path in found]


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

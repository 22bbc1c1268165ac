"""What content and style say of the group: mean and spread over seeds.

    python benchmarks/accuracy.py --preset=mnist_5k --seeds=3

trains and evaluates a preset once a seed and prints a Markdown table. Flags
after `--` go to train.py.
"""

from __future__ import annotations

import functools
import json
import operator
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags

ROOT = pathlib.Path(__file__).parent.parent

_PRESET = flags.DEFINE_string("preset", "mnist_5k", "The preset.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
_FOLDER = flags.DEFINE_string(
    "folder", "runs/accuracy", "Where the runs go; older ones are replaced."
)


def run(seed: int, arguments: list[str]) -> dict[str, Any]:
    """Train and evaluate; the metrics, with the seconds that each took."""
    workdir = pathlib.Path(_FOLDER.value) / _PRESET.value / str(seed)
    began = time.perf_counter()
    script("train.py", workdir, "--overwrite", f"--preset={_PRESET.value}",
           f"--seed={seed}", *arguments)  # fmt: skip
    trained = time.perf_counter()
    script("evaluate.py", workdir)
    evaluated = time.perf_counter()
    metrics = json.loads((workdir / "evaluation/metrics.json").read_text())
    seconds = {"train": trained - began, "evaluate": evaluated - trained}
    return {**metrics, "seconds": seconds}


def script(name: str, workdir: pathlib.Path, *arguments: str) -> None:
    """Run one of the project's scripts."""
    command = [sys.executable, ROOT / name, f"--workdir={workdir}", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def rows(results: list[dict[str, Any]]) -> list[tuple[str, list[float]]]:
    """Each figure's name and its value for every seed."""

    def every(*path: str) -> list[float]:
        return [functools.reduce(operator.getitem, path, r) for r in results]

    first = results[0]
    table = [
        (f"content accuracy, k = {k}", every("content_accuracy", k))
        for k in first["content_accuracy"]
    ]
    table += [
        ("content accuracy, sampled, k = 1",
         every("sampled", "content_accuracy", "1")),
        ("style accuracy", every("style_accuracy")),
        ("style accuracy, sampled", every("sampled", "style_accuracy")),
        ("chance accuracy", every("chance_accuracy")),
        ("content entropy, k = 1", every("content_entropy", "1")),
        ("style entropy", every("style_entropy")),
        ("judge's accuracy on real observations",
         every("swap", "judge_accuracy")),
    ]  # fmt: skip
    table += [
        (f"swap accuracy, k = {k}", every("swap", "content_group", k))
        for k in first["swap"]["content_group"]
    ]
    unseen = first.get("unseen", {})
    table += [
        (f"unseen accuracy, {name}, {k} shots",
         every("unseen", "identification", name, k))
        for name, shots in unseen.get("identification", {}).items()
        for k in shots
    ]  # fmt: skip
    table += [
        (f"verification AUC, {name}", every("unseen", "verification_auc", name))
        for name in unseen.get("verification_auc", {})
    ]
    for name in (
        "group_elbo",
        "group_reconstruction",
        "group_content_kl",
        "group_style_kl",
        "importance_weighted_bound",
    ):
        table.append((name.replace("_", " "), every(name)))
    for name in ("train", "evaluate"):
        table.append((f"seconds to {name}", every("seconds", name)))
    return table


def main(arguments: list[str]) -> None:
    results = [run(seed, arguments[1:]) for seed in range(_SEEDS.value)]
    print(f"| {_PRESET.value}, {_SEEDS.value} seeds | mean | min | max |")
    print("|---|---|---|---|")
    for name, values in rows(results):
        exact = any(word in name for word in ("accuracy", "entropy", "AUC"))
        digits = 3 if exact else 1
        cells = [np.mean(values), np.min(values), np.max(values)]
        text = " | ".join(f"{cell:.{digits}f}" for cell in cells)
        print(f"| {name} | {text} |")


if __name__ == "__main__":
    app.run(main)

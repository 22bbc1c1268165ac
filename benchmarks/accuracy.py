"""What content and style say of the group: mean and spread over seeds.

    python benchmarks/accuracy.py --preset=mnist_5k --seeds=3

trains and evaluates a preset once a seed and prints a Markdown table. Flags
after `--` go to train.py.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags

from mlvae_tf.evaluation import tables

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


def main(arguments: list[str]) -> None:
    results = [run(seed, arguments[1:]) for seed in range(_SEEDS.value)]
    header, *lines = tables.several(results)
    header[0] = f"{_PRESET.value}, {_SEEDS.value} seeds"
    for name in ("train", "evaluate"):
        seconds = [result["seconds"][name] for result in results]
        spread = np.mean(seconds), np.min(seconds), np.max(seconds)
        lines.append([f"seconds to {name}", *(f"{s:.1f}" for s in spread)])
    for line in (header, ["---"] * len(header), *lines):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    app.run(main)

"""What content and style say of the group, by setting: mean and spread.

    python benchmarks/accuracy.py --preset=mnist_5k --seeds=3

trains and evaluates a preset once per seed and prints a Markdown table. Flags
after `--` go to train.py. With `--setting`, as often as there are settings, the
table has a column each:

    python benchmarks/accuracy.py --preset=mnist_5k \
        --setting=--accumulation=product --setting=--accumulation=average

`--figure=PATH` draws style accuracy and reconstruction, a point a setting;
settings of the same flags make a curve, named by what they share. Runs that
`--folder` holds from the same commands are not repeated.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from shared import print_table

from mlvae_tf.evaluation import tables

ROOT = pathlib.Path(__file__).parent.parent

_PRESET = flags.DEFINE_string("preset", "mnist_5k", "The preset.")
_SETTINGS = flags.DEFINE_multi_string(
    "setting", [""], "Flags of train.py, separated by spaces."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
_FOLDER = flags.DEFINE_string("folder", "runs/accuracy", "Where the runs go.")
_FIGURE = flags.DEFINE_string("figure", None, "A picture to draw, PNG.")


def run(setting: str, seed: int, arguments: list[str]) -> dict[str, Any]:
    """Train and evaluate; the metrics, with the seconds that each took."""
    name = re.sub(r"\W+", "_", setting).strip("_") or "preset"
    workdir = pathlib.Path(_FOLDER.value, _PRESET.value, name, str(seed))
    command = [
        f"--preset={_PRESET.value}",
        f"--seed={seed}",
        *arguments,
        *setting.split(),
    ]
    record = workdir / "accuracy.json"
    if record.exists():
        result = json.loads(record.read_text())
        if result["command"] == command:
            return result
    began = time.perf_counter()
    script("train.py", workdir, "--overwrite", *command)
    trained = time.perf_counter()
    script("evaluate.py", workdir)
    evaluated = time.perf_counter()
    metrics = json.loads((workdir / "evaluation/metrics.json").read_text())
    seconds = {"train": trained - began, "evaluate": evaluated - trained}
    result = {**metrics, "command": command, "seconds": seconds}
    record.write_text(json.dumps(result))
    return result


def script(name: str, workdir: pathlib.Path, *arguments: str) -> None:
    """Run one of the project's scripts."""
    flags = f"--workdir={workdir}", *arguments
    command = [sys.executable, str(ROOT / name), *flags]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def column(results: list[dict[str, Any]]) -> dict[str, str]:
    """A setting's mean and range over the seeds, by the figure's name."""
    _, *rows = tables.several(results)
    for name in ("train", "evaluate"):
        seconds = [result["seconds"][name] for result in results]
        spread = np.mean(seconds), np.min(seconds), np.max(seconds)
        rows.append([f"seconds to {name}", *(f"{s:.0f}" for s in spread)])
    return {
        name: mean if low == high else f"{mean} ({low} to {high})"
        for name, mean, low, high in rows
    }


def trade_off(results: dict[str, list[dict[str, Any]]]) -> Figure:
    """Style accuracy against reconstruction, means and ranges over the seeds.

    Settings of the same flags make a curve, in the order of the arguments.

    Args:
        results: Of every seed, by setting.
    """
    figure = Figure(figsize=(6.4, 5.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    curves: dict[tuple[str, ...], list[str]] = {}
    for setting in results:
        flags_of = tuple(part.split("=")[0] for part in setting.split())
        curves.setdefault(flags_of, []).append(setting)
    for settings in curves.values():
        _curve(axes, settings, [results[setting] for setting in settings])
    axes.margins(0.14)
    chance = next(iter(results.values()))[0]["chance_accuracy"]
    axes.axvline(chance, ls="--", color="#888888", lw=0.8)
    axes.annotate(
        "chance", (chance, 0), (4, 6), xycoords=axes.get_xaxis_transform(),
        textcoords="offset points", color="#888888", size=7,
    )  # fmt: skip
    axes.set(
        xlabel="what a probe names right by the style (less is better)",
        ylabel="reconstruction, nats per observation (more is better)",
    )
    title = "By the points: the value of … (content named right)"
    axes.set_title(title, size=8)
    figure.legend(loc="outside lower center", fontsize=7, frameon=False)
    return figure


def _told_apart(settings: list[str]) -> tuple[str, list[str]]:
    """What is the same in all settings of a curve, and each one's values."""
    parts = [setting.split() for setting in settings]
    fixed = [part for part in parts[0] if all(part in p for p in parts)]
    varied = [[part for part in p if part not in fixed] for p in parts]
    names = [f"{part.split('=')[0]}=…" for part in varied[0]]
    values = [", ".join(text.split("=")[-1] for text in p) for p in varied]
    return ", ".join([*fixed, *names]), values


def _curve(
    axes: Axes, settings: list[str], results: list[list[dict[str, Any]]]
) -> None:
    """One curve: its legend has what is fixed, its points what varies."""
    values = np.array(
        [
            [
                (
                    run["style_accuracy"],
                    run["reconstruction_per_observation"],
                    run["content_accuracy"]["1"],
                )
                for run in runs
            ]
            for runs in results
        ]
    )  # [settings, seeds, 3]
    means = values.mean(axis=1)
    low, high = means - values.min(axis=1), values.max(axis=1) - means
    label, names = _told_apart(settings)
    axes.errorbar(
        means[:, 0],
        means[:, 1],
        np.stack([low[:, 1], high[:, 1]]),
        np.stack([low[:, 0], high[:, 0]]),
        fmt="o-",
        ms=4,
        lw=1.2,
        label=label,
    )
    for number, ((*at, content), value) in enumerate(zip(means, names)):
        axes.annotate(
            f"{value} ({content:.3f})".strip(),
            at,
            xytext=(5, -10 if number % 2 else 4),  # Neighbours apart.
            textcoords="offset points",
            fontsize=6.5,
        )


def main(arguments: list[str]) -> None:
    results = {
        setting.replace("--", "") or _PRESET.value: [
            run(setting, seed, arguments[1:]) for seed in range(_SEEDS.value)
        ]
        for setting in _SETTINGS.value
    }
    columns = {name: column(values) for name, values in results.items()}
    names = list(dict.fromkeys(n for cells in columns.values() for n in cells))
    header = [f"{_PRESET.value}, {_SEEDS.value} seeds", *columns]
    print_table(
        [header]
        + [
            [n, *(cells.get(n, "") for cells in columns.values())]
            for n in names
        ]
    )
    if _FIGURE.value:
        trade_off(results).savefig(_FIGURE.value)


if __name__ == "__main__":
    app.run(main)

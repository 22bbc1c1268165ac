"""Measure a run, and leave what was measured in its folder."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shlex
from typing import Any

from mlvae_tf import config as config_module
from mlvae_tf import data, workdir
from mlvae_tf.checks import as_input_error, check_shapes
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
    tables,
    unseen,
)
from mlvae_tf.evaluation.bootstrap import separate
from mlvae_tf.evaluation.posteriors import Counts, Posteriors
from mlvae_tf.evaluation.tables import Table
from mlvae_tf.model import MLVAE
from mlvae_tf.training import (
    make_batches,
    run_record,
    train,
    training_groups,
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What `measure` finds.

    Attributes:
        results: What `metrics.json` holds.
        pictures: PNG pictures by name.
    """

    results: dict[str, Any]
    pictures: dict[str, bytes]


def _check_held_out(splits: Splits, dataset: str) -> None:
    if splits.evaluation is None and splits.unseen is None:
        raise InputError(
            f"{dataset} has no held-out observations to evaluate on. Train "
            "with --holdout_observations, such as 0.2."
        )


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
    config: Config,
    counts: Counts,
    importance_samples: int,
) -> Measured:
    """Everything that `evaluate.py` reports.

    Without held-out observations of the training groups, that is what the
    unseen groups show, and the bounds are theirs.

    Args:
        model: The model.
        splits: The data that it was trained with.
        config: The configuration of the run.
        counts: Evidence counts; None is all of a group's.
        importance_samples: Of the importance-weighted bound.
    """
    seed = config.training.seed
    batches = make_batches(config.training)
    held_out = splits.evaluation
    bounded = splits.unseen if held_out is None else held_out
    found = {
        **likelihood.group_elbo(model, bounded, batches, seed),
        **likelihood.log_likelihood(
            model, bounded, batches, importance_samples, seed
        ),
    }
    pictures = {}
    if held_out is not None:
        figures_of, pictures = _measure_seen(
            model, splits.train, held_out, counts, seed
        )
        found = {**figures_of, **found}
    if splits.unseen is not None:
        others = Posteriors.of(model, splits.unseen)
        learned = training_groups(splits.train, config.training)
        found["unseen"], curves = unseen.measure(
            model, others, splits.unseen, learned, seed
        )
        for name, picture in _control(model, splits.unseen, others).items():
            pictures[f"unseen_{name}"] = picture
        if curves:
            pictures["unseen_roc"] = charts.roc(curves)
    values, intervals = separate(found)
    results = {**values, "intervals": intervals}
    if held_out is not None:
        pictures["accuracy"] = charts.accuracy_curve(results)
    return Measured(results, pictures)


def _measure_seen(
    model: MLVAE,
    train: GroupedData,
    held_out: GroupedData,
    counts: Counts,
    seed: int,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Figures and pictures of held-out observations of the training groups."""
    posteriors = Posteriors.of(model, held_out)
    some = train.sample(probes.MAX_PROBE_OBSERVATIONS, seed)
    found, confused = probes.probe_groups(
        Posteriors.of(model, some), posteriors, counts, seed
    )
    calibrated = calibration.measure(posteriors, counts, seed)
    real = judge.Judge(train, seed)
    found |= {
        "calibration": {k: value.ratio for k, value in calibrated.items()},
        "swap": judge.measure(model, real, held_out, posteriors, counts, seed),
    }
    groups = [str(group) for group in some.groups]
    pictures = {
        "confusion": charts.confusion(confused, groups),
        **_control(model, held_out, posteriors),
    }
    if calibrated:
        pictures["calibration"] = charts.calibration(calibrated)
    return found, pictures


def _control(
    model: MLVAE, some: GroupedData, posteriors: Posteriors
) -> dict[str, bytes]:
    """The pictures of control, and the map, by name."""
    pictures = {
        "swap": figures.swap_grid(model, some),
        "swap_single": figures.swap_grid(model, some, evidence_count=1),
        "generate": figures.generation_grid(model, some),
        "reconstruct": figures.reconstruction_grid(model, some),
        "map": charts.latent_map(posteriors),
    }
    if len(some.groups) > 1:
        pictures["interpolate"] = figures.interpolation_grid(model, some)
    return pictures


def evaluate(
    folder: pathlib.Path,
    counts: Counts = (1, 2, 3, 5, 10, None),
    importance_samples: int = 100,
    settings: dict[str, Any] | None = None,
    num_seeds: int = 1,
) -> Table:
    """Measure the run in `folder` and leave `folder/evaluation`.

    Args:
        folder: The workdir.
        counts: How many observations of a group to accumulate; None is all.
        importance_samples: Of the importance-weighted bound.
        settings: Fields of the configuration to replace, such as `dataset`.
        num_seeds: With more than one, the run is repeated with the following
            seeds in `folder/seeds`, where it has not been already.

    Returns:
        The figures, with intervals, or over the seeds with their spread.
    """
    settings = settings or {}
    run = config_module.load(folder / "config.json")
    measured, evaluated = _measure_run(
        folder, run, counts, importance_samples, settings
    )
    flags = {
        "evidence_counts": tuple(map(probes.name, counts)),
        "importance_samples": importance_samples,
        **settings,
    }
    record = {**run_record(run), "evaluated on": evaluated.to_json()["data"]}
    page = report.html(measured, record, commands(folder, run, flags))
    _write(folder / "evaluation", measured, page)
    if num_seeds == 1:
        return tables.one(measured.results)
    results = [measured.results]
    first = run.training.seed
    for seed in range(first + 1, first + num_seeds):
        other = folder / "seeds" / str(seed)
        _train_again(other, run.replace({"seed": seed}))
        evaluate(other, counts, importance_samples, settings)
        text = (other / "evaluation" / "metrics.json").read_text()
        results.append(json.loads(text))
    spread = tables.several(results)
    again = commands(folder, run, {**flags, "seeds": num_seeds})
    page = report.html(measured, record, again, spread)
    _write(folder / "evaluation", measured, page)
    return spread


def _measure_run(
    folder: pathlib.Path,
    run: Config,
    counts: Counts,
    importance_samples: int,
    settings: dict[str, Any],
) -> tuple[Measured, Config]:
    """Measure a run, and the configuration that it was measured with."""
    model = workdir.load_model(folder)
    config = _evaluated(run, settings)
    splits = data.load(config.data, config.training.seed)
    check_shapes(splits.train.observations, model.observation_shape)
    _check_held_out(splits, config.data.dataset)
    with as_input_error():
        measured = measure(model, splits, config, counts, importance_samples)
    return measured, config


def _train_again(folder: pathlib.Path, config: Config) -> None:
    """Train a run, or go on with it, unless it has come to its end."""
    if (folder / "model.keras").exists():
        return
    resume = (folder / "config.json").exists()
    train(config, folder, workdir.prepare(folder, resume, overwrite=False))


def _write(output: pathlib.Path, measured: Measured, page: str) -> None:
    workdir.write_json(output / "metrics.json", measured.results)
    files = {f"{name}.png": png for name, png in measured.pictures.items()}
    for name, content in {**files, "report.html": page.encode()}.items():
        with workdir.whole(output / name) as partial:
            partial.write_bytes(content)


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

"""Measure a run, and leave what was measured in its folder."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib
import shlex
from typing import Any

import numpy as np

from mlvae_tf import files
from mlvae_tf.checks import check_shapes
from mlvae_tf.data import config as data_config
from mlvae_tf.data import loading
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import crossed, doubts, measure, report, tables
from mlvae_tf.evaluation.measure import Measured
from mlvae_tf.evaluation.notes import of_copies
from mlvae_tf.evaluation.posteriors import Counts, in_words
from mlvae_tf.evaluation.tables import Table
from mlvae_tf.guards import as_input_error
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs import several, workdir
from mlvae_tf.runs.building import make_batching
from mlvae_tf.runs.command_line import format_value
from mlvae_tf.runs.config import Config
from mlvae_tf.runs.planning import training_groups
from mlvae_tf.runs.training import run_record, train

MIN_SPARING = 3  # The least group of which 0.2 is an observation.


def _measurable(splits: Splits, dataset: str) -> tuple[Splits, list[str]]:
    """The same without held-out observations of one group alone.

    Returns:
        `(splits, notes)`: what is measured, and what is to be said of it.

    Raises:
        InputError: If nothing is left to evaluate on.
    """
    held_out, notes = splits.evaluation, of_copies(splits)
    if held_out is not None and len(held_out.groups) < 2:
        notes.append(
            f"held-out observations are of one group, {held_out.groups[0]}: "
            "which group they are of is no question, and is not measured"
        )
        splits = dataclasses.replace(splits, validation=None, test=None)
    if splits.evaluation is None and splits.unseen is None:
        sizes = np.bincount(splits.train.group_index)
        small = np.median(sizes) < MIN_SPARING
        only = f" (all are of {held_out.groups[0]})" if held_out else ""
        raise InputError(
            f"{dataset} has no held-out observations of two groups or more to "
            f"evaluate on{only}: its {len(sizes)} groups have "
            f"{np.median(sizes):g} observations at the median. Train with "
            + (
                "--holdout_groups=0.2."
                if small
                else "--holdout_observations=0.2."
            )
        )
    return splits, notes


def _evaluated(run: Config, settings: dict[str, Any]) -> Config:
    """The configuration to evaluate with, unless it scores what was trained."""
    dataset = data_config.resolve(settings.get("dataset", run.data.dataset))
    divided = [name for name in settings if name.startswith("holdout_")]
    if divided and dataset == run.data.dataset:
        raise InputError(
            f"--{divided[0]} is the run's own on its own dataset: another "
            "would score observations that the model was trained on."
        )
    return run.replace({**settings, "dataset": dataset})


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
    for doubt in measured.doubts:
        print(f"doubt: {doubt.text}.", flush=True)
    flags = {
        "evidence_counts": tuple(map(in_words, counts)),
        "importance_samples": importance_samples,
        **settings,
    }
    record = {
        **run_record(run),
        "evaluated on": evaluated.to_json()["data"],
        "date": datetime.date.today().isoformat(),
    }
    again = commands(folder, run, flags)
    page = report.html(measured, record, run.flat(), again)
    _write(folder / "evaluation", measured, page)
    if num_seeds == 1:
        return tables.one(measured.results)
    seeds = range(run.training.seed + 1, run.training.seed + num_seeds)
    others = [
        _measure_seed(folder, run, seed, counts, importance_samples, settings)
        for seed in seeds
    ]
    spread = tables.several([measured.results, *others])
    again = commands(folder, run, {**flags, "seeds": num_seeds})
    page = report.html(measured, record, run.flat(), again, spread)
    _write(folder / "evaluation", measured, page)
    return spread


def _measure_seed(
    folder: pathlib.Path,
    run: Config,
    seed: int,
    counts: Counts,
    importance_samples: int,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What the run in `folder` comes to with another seed."""
    other = folder / "seeds" / str(seed)
    _train_again(other, run.replace({"seed": seed}))
    evaluate(other, counts, importance_samples, settings)
    return json.loads((other / "evaluation" / "metrics.json").read_text())


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
    splits, notes = _load(folder, config, model)
    batching, seed = make_batching(config.training), config.training.seed
    with as_input_error():
        if len(model.levels) > 1:
            measured = crossed.measure(
                model, splits, batching, counts, importance_samples, seed
            )
        else:
            measured = measure.measure(
                model,
                splits,
                training_groups(splits.train, config.training),
                batching,
                counts,
                importance_samples,
                seed,
            )
    measured.doubts.extend(doubts.doubts(model, splits, seed, run.flat()))
    # What the losses of the training tell, these observations do not.
    of_training = workdir.doubts_of(folder)
    measured.doubts.extend(d for d in of_training if d.kind == "length")
    measured.results["doubts"] = [doubt.text for doubt in measured.doubts]
    measured.results["notes"][:0] = notes
    for note in measured.results["notes"]:
        print(note, flush=True)
    return measured, config


def _load(
    folder: pathlib.Path, config: Config, model: MLVAE
) -> tuple[Splits, list[str]]:
    """What to measure a run on, and what is to be said of it."""
    splits = loading.load(
        config.data,
        config.training.seed,
        model.codec.likelihood,
        workdir.trained_on_or_none(folder),
    )
    for note in splits.notes:
        print(note, flush=True)
    check_shapes(splits.train.observations, model.observation_shape)
    several.check_levels(model, splits.train)
    return _measurable(splits, config.data.dataset)


def _train_again(folder: pathlib.Path, config: Config) -> None:
    """Train a run, or go on with it, unless it has come to its end."""
    if (folder / "model.keras").exists():
        return
    resume = (folder / "config.json").exists()
    train(config, folder, workdir.prepare(folder, resume, overwrite=False))


def _write(output: pathlib.Path, measured: Measured, page: str) -> None:
    files.write_json(output / "metrics.json", measured.results)
    parts = {f"{name}.png": png for name, png in measured.pictures.items()}
    for name, content in {**parts, "report.html": page.encode()}.items():
        with files.whole(output / name) as partial:
            partial.write_bytes(content)


def commands(folder: pathlib.Path, run: Config, flags: dict[str, Any]) -> str:
    """The two commands that lead to these results, defaults left out.

    Steps as well, of which the epochs were made.
    """
    defaults = Config().flat()
    changed = {
        name: value
        for name, value in run.flat().items()
        if value != defaults[name] and name != "steps"
    }
    return "\n".join(
        shlex.join(["python", script, f"--workdir={folder}", *_flags(values)])
        for script, values in (("train.py", changed), ("evaluate.py", flags))
    )


def _flags(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={format_value(v)}" for name, v in values.items()]

"""Evaluate the run in a workdir."""

from __future__ import annotations

import pathlib
import shlex
import zipfile
from typing import Any

import keras

from mlvae_tf import config as config_module
from mlvae_tf import data, workdir
from mlvae_tf.checks import check_shapes
from mlvae_tf.command_line import format_value
from mlvae_tf.config import Config
from mlvae_tf.data.grouping import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import figures, metrics, report, unseen
from mlvae_tf.model import MLVAE
from mlvae_tf.training import make_batches, run_record

CAPTION = (
    "Each column shares the content of a group, accumulated over up to "
    "{count} held-out observations of which the uppermost is one. Each row "
    "shares the style of the held-out observation on its left. None of the "
    "observations within the grid exists."
)


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


def evaluate(
    folder: pathlib.Path,
    evidence_counts: tuple[int, ...] = (1, 2, 5, 10),
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the run in `folder` and leave `folder/evaluation`.

    Args:
        folder: The workdir.
        evidence_counts: How many observations of a group to accumulate.
        settings: Fields of the configuration to replace, such as `dataset`.

    Returns:
        What `metrics.json` holds.
    """
    run = config_module.load(folder / "config.json")
    model = load_model(folder)
    settings = settings or {}
    config = _evaluated(run, settings)
    seed = config.training.seed
    splits = data.load(config.data, seed)
    check_shapes(splits.train.observations, model.observation_shape)
    held_out = _held_out(splits, config.data.dataset)
    posteriors = [
        metrics.Posteriors.of(model, part) for part in (splits.train, held_out)
    ]
    batches = make_batches(config.training)
    results = {
        **metrics.probe_groups(*posteriors, evidence_counts, seed),
        **metrics.group_elbo(model, held_out, batches, seed),
    }
    if splits.unseen is not None:
        results["unseen"] = unseen.measure(
            model, splits.train, splits.unseen, seed
        )
    count = max(evidence_counts)
    picture = figures.swap_grid(model, held_out, evidence_count=count)
    record = {**run_record(run), "evaluated on": config.to_json()["data"]}
    page = report.html(
        results,
        record,
        {CAPTION.format(count=count): picture},
        commands(folder, run, evidence_counts, settings),
    )
    output = folder / "evaluation"
    workdir.write_json(output / "metrics.json", results)
    for name, content in (
        ("swap.png", picture),
        ("report.html", page.encode()),
    ):
        with workdir.whole(output / name) as partial:
            partial.write_bytes(content)
    return results


def commands(
    folder: pathlib.Path,
    run: Config,
    evidence_counts: tuple[int, ...],
    settings: dict[str, Any],
) -> str:
    """The two commands that lead to these results, defaults left out."""
    defaults = Config().flat()
    changed = {
        name: value
        for name, value in run.flat().items()
        if value != defaults[name]
    }
    evaluation = {"evidence_counts": evidence_counts, **settings}
    return "\n".join(
        shlex.join(["python", script, f"--workdir={folder}", *_flags(values)])
        for script, values in (
            ("train.py", changed),
            ("evaluate.py", evaluation),
        )
    )


def _flags(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={format_value(v)}" for name, v in values.items()]

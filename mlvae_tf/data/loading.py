"""From a dataset SPEC to what is trained on and what is held out."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

import numpy as np

from mlvae_tf.data import source as source_module
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.data.splits import Splits, split, split_as_trained
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

Chooser = Callable[[GroupedData], Likelihood]
KINDS = ("mnist_5k", "tfds", "folder", "npz", "idx")
NAMED = ("npz", "tfds", "folder")  # Whose groups have names.


def _load(config: DataConfig) -> Source:
    kind, _, argument = config.dataset.partition(":")
    if kind not in KINDS or bool(argument) != (kind != "mnist_5k"):
        raise InputError(
            "--dataset must be mnist_5k, tfds:NAME, folder:PATH, npz:PATH or "
            f"idx:PATH: got {config.dataset!r}."
        )
    if len(config.groups or ()) > 1 and kind not in NAMED:
        raise InputError(
            f"{config.dataset} has digits alone, one level: got --groups="
            f"{','.join(config.groups or ())}. Pass tfds:, folder: or npz:."
        )
    # One module per kind: TensorFlow Datasets, say, is slow to import.
    module = importlib.import_module(f"mlvae_tf.data.sources.{kind}")
    return module.load(argument, config)


def load(
    config: DataConfig,
    seed: int,
    likelihood: Likelihood | Chooser,
    trained: np.ndarray | None = None,
) -> Splits:
    """Open a dataset, bring it into memory where it fits, and divide it.

    Args:
        config: Which dataset, and what to hold out.
        seed: Seed of what is held out.
        likelihood: Knows which values observations may have; or a function
            that chooses one by the observations to learn from, as stored.
        trained: As `divide` takes it.

    Raises:
        InputError: If the dataset is unknown, missing or damaged.
    """
    return divide(open_source(config, likelihood), config, seed, trained)


def open_source(config: DataConfig, likelihood: Likelihood | Chooser) -> Source:
    """Open a dataset as its publisher splits it, in memory where it fits."""
    source = _load(config)
    if config.skip_bad:
        source = source.without_damaged()
    source = source.in_memory(config.memory_gb * 1e9)
    if not isinstance(likelihood, Likelihood):
        likelihood = likelihood(source.train)
    for part in source.parts.values():
        source_module.check(part, config.dataset, likelihood)
    return source.of_likelihood(likelihood)


def divide(
    source: Source,
    config: DataConfig,
    seed: int,
    trained: np.ndarray | None = None,
) -> Splits:
    """Divide a dataset.

    Args:
        source: The dataset.
        config: What to hold out.
        seed: Seed of what is held out.
        trained: The keys of what a model was trained on, uint64 `[T]`. Where
            the dataset has any of them, what is not among them is held out.
    """
    if trained is not None:
        splits = split_as_trained(source, trained)
        if splits is not None:
            return splits
        other = "none of these is among what the run was trained on"
        source = dataclasses.replace(source, notes=(*source.notes, other))
    return split(
        source,
        config.holdout_groups,
        config.holdout_observations,
        seed,
        config.holdout_cells,
    )

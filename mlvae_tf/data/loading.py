"""From a dataset SPEC to what is trained on and what is held out."""

from __future__ import annotations

import importlib

from mlvae_tf.data import source as source_module
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.source import Source
from mlvae_tf.data.splits import Splits, split
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

KINDS = ("mnist_5k", "tfds", "folder", "npz", "idx")


def _load(config: DataConfig) -> Source:
    kind, _, argument = config.dataset.partition(":")
    if kind not in KINDS or bool(argument) != (kind != "mnist_5k"):
        raise InputError(
            "--dataset must be mnist_5k, tfds:NAME, folder:PATH, npz:PATH or "
            f"idx:PATH: got {config.dataset!r}."
        )
    # One module a kind: TensorFlow Datasets, say, is slow to import.
    module = importlib.import_module(f"mlvae_tf.data.sources.{kind}")
    return module.load(argument, config)


def load(config: DataConfig, seed: int, likelihood: Likelihood) -> Splits:
    """Open a dataset, bring it into memory where it fits, and divide it.

    Args:
        config: Which dataset, and what to hold out.
        seed: Seed of what is held out.
        likelihood: Knows which values observations may have.

    Raises:
        InputError: If the dataset is unknown, missing or damaged.
    """
    source = _load(config).in_memory(config.memory_gb * 1e9)
    for part in (source.train, source.test):
        if part is not None:
            source_module.check(part, config.dataset, likelihood)
    return split(
        source.converted(likelihood.values),
        config.holdout_groups,
        config.holdout_observations,
        seed,
    )

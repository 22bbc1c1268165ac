"""Batches of groups, from arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import likelihoods
from mlvae_tf.data.grouped import of_arrays
from mlvae_tf.data.pipeline import one_epoch
from mlvae_tf.data.sampling import Batching
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood


def grouped_batches(
    observations: Any,
    group_ids: Any,
    groups_per_batch: int = 64,
    observations_per_group: int = 4,
    batch_size: int | None = None,
    seed: int = 0,
    likelihood: str | Likelihood = "bernoulli",
    missing_groups: str = "refuse",
    parents: dict[str, str] | None = None,
) -> tf.data.Dataset:
    """Batches in which groups have several observations, for `MLVAE.fit`.

    A batch holds `groups_per_batch` groups of up to `observations_per_group`
    observations. A larger group is dealt out, at random, into several such
    groups, each of its own to the model. Every pass over the dataset visits
    every observation once, in another order; the same seed gives the same ones.

    Args:
        observations: `[N, ...]`, in memory. 8-bit ones become the values that
            the likelihood takes, such as their share of 255; others are values.
        group_ids: `[N]`, integers or strings, in any order; of several levels
            a dict of these. Then every level's groups share observations within
            a batch, which has about as many (`mlvae_tf.data.crossing`).
        groups_per_batch: Groups in a batch; fewer in the last one of a pass.
        observations_per_group: Observations of a group in a batch, at most.
        batch_size: If given, batches of this many shuffled observations, in
            groups of what falls in, the paper's way.
        seed: Seed of the orders.
        likelihood: What makes values of 8-bit observations.
        missing_groups: What becomes of ids of several levels that are not
            known, empty strings or negative numbers: `"refuse"`, or `"own"`
            for a group of its own.
        parents: By inner level, the one that its groups are in, whose ids then
            count within the other's group; without, they must be unique.

    Returns:
        A dataset of `{"observations": float32 [n, ...], "group_ids": int64
        [n], "whole_ids": int64 [n]}`. Its `group_ids` tell the groups of one
        batch apart, `whole_ids` say what they are pieces of. With several
        levels `group_ids` is a dict of such, and there are no `whole_ids`.

    Raises:
        ValueError: If there is not one id per observation, or a size is not
            positive.

    Example:

    >>> model.fit(mlvae_tf.data.grouped_batches(images, names), epochs=50)
    """
    sizes = {
        "groups_per_batch": groups_per_batch,
        "observations_per_group": observations_per_group,
        "batch_size": 1 if batch_size is None else batch_size,
    }
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} must be at least 1: got {size}.")
    observations = np.asarray(observations)
    data = of_arrays(observations, group_ids, missing_groups, parents)
    batching = Batching(groups_per_batch, observations_per_group, batch_size)
    return one_epoch(
        data.of_likelihood(likelihoods.get(likelihood)),
        batching,
        seed,
        itertools.count(),
    )

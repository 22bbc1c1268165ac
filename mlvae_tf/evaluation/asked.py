"""Of which groups it is asked which one, and who learns to name them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlvae_tf import noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.evaluation.probes import MAX_PROBE_OBSERVATIONS

MAX_GROUPS = 250  # Among which probes choose.
MAX_BOOSTED_OBSERVATIONS = 100_000


class Asked(NamedTuple):
    """The groups among which probes and judges choose, and their observations.

    Attributes:
        train: Their training observations, at most 100,000.
        some: At most 20,000 of these, of every group.
        rows: Their rows among the held-out observations.
    """

    train: GroupedData
    some: GroupedData
    rows: np.ndarray


def choose(train: GroupedData, held_out: GroupedData, seed: int) -> Asked:
    """Choose at most 250 groups at random, of those that both have.

    Args:
        train: What was trained on.
        held_out: Other observations.
        seed: Seed of the choices.
    """
    generator = noise.generator(seed, noise.Stream.PROBE, MAX_GROUPS)
    trained = np.isin(held_out.groups, train.groups)
    groups = generator.permutation(held_out.groups[trained])[:MAX_GROUPS]
    chosen = np.isin(train.groups, groups)[train.group_index]
    every = train[np.flatnonzero(chosen)]
    every = every.sample(MAX_BOOSTED_OBSERVATIONS, seed)
    some = every.sample(MAX_PROBE_OBSERVATIONS, seed)
    asked = np.isin(held_out.groups, some.groups)[held_out.group_index]
    return Asked(every, some, np.flatnonzero(asked))

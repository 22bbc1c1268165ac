"""The stores of observations that a user has in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlvae_tf import checks
from mlvae_tf.data import identity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.grouping import Grouping
from mlvae_tf.data.observations import Observations
from mlvae_tf.model import MLVAE
from mlvae_tf.store import encoding
from mlvae_tf.store.ids import joined
from mlvae_tf.store.layout import Layout
from mlvae_tf.store.tables import LevelStores


def encode(
    model: MLVAE,
    observations: Observations,
    group_ids: Any,
    keys: np.ndarray | None = None,
    batch_size: int = 1024,
) -> LevelStores:
    """The stores of all levels, from one pass through the encoder.

    Args:
        model: The model.
        observations: `[N, ...]`, values or uint8 images, in memory or on a
            disk. Equal ones all count.
        group_ids: By level `[N]`, integers or strings, in any order; of one
            level as they are.
        keys: uint64 `[N]`, which observation is which; by default those of
            their content and their groups of the first level.
        batch_size: Observations to encode at once.

    Raises:
        InputError: If the observations or ids do not fit the model, or if a
            level's rule does not add evidence up.
    """
    names = tuple(level.name for level in model.levels)
    ids = {
        name: checks.as_group_ids(of_level)
        for name, of_level in checks.by_level(group_ids, names).items()
    }
    checks.check_shapes(observations, model.observation_shape, ids)
    levels = {name: Grouping.of(of_level) for name, of_level in ids.items()}
    levels = joined(levels, Layout.of(model).parents)
    if keys is None:
        first = levels[names[0]]
        keys = identity.of_content(
            observations, first.groups, first.group_index
        )
    data = GroupedData.of_levels(observations, levels, keys)
    return encoding.encode(model, [data], batch_size)

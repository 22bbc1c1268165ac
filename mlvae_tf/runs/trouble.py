"""What is amiss in a batch whose step was not taken."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mlvae_tf import batches, noise, whole
from mlvae_tf.batches import Part
from mlvae_tf.data import crossing
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching
from mlvae_tf.model import MLVAE


def rows_of_step(
    data: GroupedData, how: Batching, seed: int, step: int
) -> np.ndarray:
    """Which observations the batch of a step has.

    Args:
        data: What is visited.
        how: How it is batched.
        seed: Seed of every epoch's order.
        step: Number of the step, from 0.
    """
    sampler = crossing.sampler(how, data.group_indices)
    epoch, batch = divmod(step, len(sampler))
    order = sampler.order(seed, epoch)
    return sampler.plan(order, batch, batch + 1).rows


def describe(model: MLVAE, data: GroupedData, rows: np.ndarray) -> str:
    """The terms of a batch as the model is now, and its worst observation.

    Args:
        model: The model.
        data: What it is trained on.
        rows: Which of it the batch has.
    """
    ids = {
        level.name: tf.constant(group_index[rows])
        for level, group_index in zip(
            model.levels, data.group_indices.values(), strict=True
        )
    }
    segment_ids = batches.number(ids, model.codec.parents)
    values = data.values(rows)
    part = Part(tf.cast(values, model.variable_dtype), segment_ids)
    seed = noise.of_step(model.seed, noise.Stream.TEST, 0)
    of_rows = whole.rows(model.elbo, part, seed, training=False)
    terms = whole.mean_terms(model.elbo, part, seed)
    cost = (of_rows.style_kl - of_rows.log_likelihood).numpy()
    amiss = ~np.isfinite(cost)
    worst = int(np.argmax(amiss if amiss.any() else cost))
    named = f"reconstruction {float(terms.reconstruction):.4g}, " + ", ".join(
        f"{name} KL {float(kl):.4g}" for name, kl in terms.kl.items()
    )
    low, high = np.nanmin(values[worst]), np.nanmax(values[worst])
    return (
        f"with the present weights, the terms of its batch are {named} (nats "
        f"per group), and of its {len(rows)} observations {np.sum(amiss)} have "
        f"terms that are not finite. The worst is observation {rows[worst]}, "
        f"of group {data.group_ids[rows[worst]]}, with values from {low:.4g} "
        f"to {high:.4g} and a cost of {cost[worst]:.4g} nats, where the median "
        f"is {np.nanmedian(cost):.4g}"
    )

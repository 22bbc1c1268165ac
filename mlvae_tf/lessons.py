"""What the flow of the style learns from, once the networks are trained.

Styles given the contents of single observations, and given draws of contents
that a few of a group's make together; and the contents of groups.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from mlvae_tf import noise
from mlvae_tf.latents import Latents
from mlvae_tf.levels import LAST_STEP
from mlvae_tf.reading import Reader
from mlvae_tf.style_flow import Pairs

FEW = 4  # Observations whose content the flow of the style learns from.


class Lessons(NamedTuple):
    """What `StyleFlow.fit` takes.

    Attributes:
        alone: Of every observation, given the content that it shows.
        together: Of the same, given a content of its group.
        scale: The one scale of the posteriors, `[dim]`.
        groups: By level that is drawn, the contents of its groups, `[G, dim]`.
    """

    alone: Pairs
    together: Pairs
    scale: tf.Tensor
    groups: list[tf.Tensor]


def lessons(
    reader: Reader,
    observations: Any,
    proposed: Latents,
    ids: dict[str, np.ndarray],
    seed: int,
) -> Lessons:
    """What the observations of some groups teach.

    Args:
        reader: What reads them.
        observations: Checked ones, `[N, *observation_shape]`.
        proposed: By level, what they propose.
        ids: By level, `[N]`.
        seed: Of the draws.
    """
    codec = reader.codec
    names = [level.name for level in codec.drawn]
    of_few = _of_few(reader, observations, proposed, ids, seed)
    contents = [
        codec.joined({name: proposed[name].loc for name in names}),
        codec.joined(of_few),
    ]
    styles = [reader.learned_styles(observations, c) for c in contents]
    alone, together = (Pairs(q.loc, c) for q, c in zip(styles, contents))
    rows, groups = reader.accumulate(observations, proposed, ids)
    prototypes = [
        groups[name].loc[: int(tf.reduce_max(rows[name])) + 1] for name in names
    ]
    return Lessons(alone, together, styles[0].scale[0], prototypes)


def _of_few(
    reader: Reader,
    observations: Any,
    proposed: Latents,
    ids: dict[str, np.ndarray],
    seed: int,
) -> dict[str, tf.Tensor]:
    """Contents that a few of each one's group make together, drawn.

    Returns:
        By level that is drawn, `[N, dim]`.
    """
    generator = noise.generator(seed, noise.Stream.STYLE_FLOW)
    hands = {
        name: deal(of_level, FEW, generator) for name, of_level in ids.items()
    }
    rows, together = reader.accumulate(observations, proposed, hands)
    of_draws = noise.of_step(seed, noise.Stream.STYLE_FLOW, LAST_STEP)
    drawn = {}
    for number, level in enumerate(reader.codec.drawn):
        q, name = together[level.name], level.name
        # The first level's noise is that of a model with one level.
        own = noise.fold_in(of_draws, number) if number else of_draws
        drawn[name] = tf.gather(noise.sample(q.loc, q.scale, own), rows[name])
    return drawn


def deal(
    group_ids: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Cut every group into hands of up to `count`, at random.

    Returns:
        int64 `[N]`, the number of the hand of each.
    """
    _, groups = np.unique(group_ids, return_inverse=True)
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.searchsorted(groups[order], groups[order])
    within = np.arange(len(order)) - starts
    hands = np.empty(len(groups), np.int64)
    hands[order] = starts + within // count  # A hand is smaller than it starts.
    return hands

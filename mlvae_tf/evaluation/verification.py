"""Verification: are two observations of one group?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.metrics import roc_curve

from mlvae_tf import noise
from mlvae_tf.comparison import similarity
from mlvae_tf.data.sampling import by_group
from mlvae_tf.evaluation.bootstrap import Estimate, estimate_statistic
from mlvae_tf.evaluation.representations import Gather

MAX_PAIRS = 50_000


class Verification(NamedTuple):
    """How well similarity tells pairs of one group from pairs of two.

    Attributes:
        false: The ROC curve's false positive rates.
        true: Its true positive rates.
        area: The area under it; 0.5 is chance.
    """

    false: np.ndarray
    true: np.ndarray
    area: Estimate


def verify(
    represent: Gather, group_ids: np.ndarray, seed: int = 0
) -> Verification:
    """Tell pairs of observations of one group from pairs of two.

    All pairs are scored, or where there are more than 50,000 as many at
    random, half of them of one group. The interval of the area resamples
    observations, since pairs that share one depend on each other.
    """
    generator = noise.generator(seed, noise.Stream.PAIRS)
    left, right = _pairs(group_ids, generator)
    single = represent(np.arange(len(group_ids))[:, np.newaxis])
    scores = similarity(single[left], single[right])
    order = np.argsort(scores, kind="stable")
    left, right, scores = left[order], right[order], scores[order]
    same = group_ids[left] == group_ids[right]
    false, true, _ = roc_curve(same, scores)
    # Equal scores go together.
    starts = np.flatnonzero(np.append(True, scores[1:] > scores[:-1]))

    def area(counts: np.ndarray) -> float:
        weights = counts[left] * counts[right]
        both = np.add.reduceat(weights, starts)
        one = np.add.reduceat(weights * same, starts)
        two = both - one
        total = float(one.sum()) * float(two.sum())
        if not total:
            return np.nan
        return float(one @ (two.cumsum() - two / 2) / total)

    return Verification(
        false, true, estimate_statistic(area, len(group_ids), seed)
    )


def _pairs(
    group_ids: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs, or so many of one group and as many of two."""
    total = len(group_ids)
    if total * (total - 1) // 2 <= MAX_PAIRS:
        return np.triu_indices(total, k=1)
    _, group_index, sizes = np.unique(
        group_ids, return_inverse=True, return_counts=True
    )
    order, offsets = by_group(group_index, len(sizes))
    # By place in the order: the others of the group, then all beyond it.
    start, size = offsets[group_index[order]], sizes[group_index[order]]
    half = MAX_PAIRS // 2
    weight = size - 1.0
    one = generator.choice(total, half, p=weight / weight.sum())
    step = 1 + generator.integers(size[one] - 1)
    same = start[one] + (one - start[one] + step) % size[one]
    weight = total - size * 1.0
    two = generator.choice(total, half, p=weight / weight.sum())
    step = generator.integers(total - size[two])
    other = (start[two] + size[two] + step) % total
    return order[np.append(one, two)], order[np.append(same, other)]

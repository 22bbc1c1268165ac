"""Intervals for what is measured on a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlvae_tf import noise

RESAMPLES = 1000


class Estimate(NamedTuple):
    """A mean and its 95% interval."""

    value: float
    low: float
    high: float


def estimate(
    scores: np.ndarray, size: int | None = None, seed: int = 0
) -> Estimate:
    """The mean, and a 95% percentile bootstrap interval of it.

    Of what is right or wrong, how many of a resample are right is binomial.

    Args:
        scores: `[M]`, one per unit that was measured, numbers or bools.
        size: Units in a resample, where several passes over the same `size`
            units are in `scores`. Defaults to `M`.
        seed: Seed of the draws.

    References:
        Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    generator = noise.generator(seed, noise.Stream.BOOTSTRAP)
    size, mean = size or len(scores), float(scores.mean(dtype=np.float64))
    if scores.dtype == bool:
        return _around(mean, generator.binomial(size, mean, RESAMPLES) / size)
    means = [
        generator.choice(scores, size).mean(dtype=np.float64)
        for _ in range(RESAMPLES)
    ]
    return _around(mean, means)


def estimate_statistic(
    statistic: Callable[[np.ndarray], float], size: int, seed: int = 0
) -> Estimate:
    """What is no mean of scores, and its 95% percentile bootstrap interval.

    Args:
        statistic: From how often each unit counts, `[size]`, to the figure;
            NaN for a resample that has none, which is left out.
        size: Units.
        seed: Seed of the draws.
    """
    generator = noise.generator(seed, noise.Stream.BOOTSTRAP)
    resamples = generator.multinomial(
        size, np.full(size, 1 / size), size=RESAMPLES
    )
    return _around(
        float(statistic(np.ones(size))), [statistic(c) for c in resamples]
    )


def estimate_of_units(
    scores: np.ndarray, units: np.ndarray, seed: int = 0
) -> Estimate:
    """The mean of what units scored, each several times; they are resampled.

    Args:
        scores: `[...]`.
        units: The unit that each score is of, such as its group; integers or
            strings, `[...]`.
        seed: Seed of the draws.
    """
    _, places = np.unique(units.ravel(), return_inverse=True)
    total, count = np.bincount(places, scores.ravel()), np.bincount(places)
    return estimate_statistic(
        lambda times: float(times @ total / (times @ count)), len(count), seed
    )


def by_chance(
    named: Sequence[np.ndarray], group_ids: np.ndarray, seed: int = 0
) -> Estimate:
    """The largest accuracy of several namings that know nothing of the groups.

    The groups are dealt anew among what was asked, a thousand times. The
    largest of many accuracies lies above chance by chance, the more so the
    fewer were asked.

    Args:
        named: By each, the groups that it names, `[M]`.
        group_ids: Those of what it was asked, `[M]`.
        seed: Seed of the permutations.

    Returns:
        The mean, and where 95% lie.

    References:
        Westfall and Young 1993, Resampling-Based Multiple Testing, chapter 2.
    """
    generator = noise.generator(seed, noise.Stream.CHANCE)
    both = np.concatenate([group_ids, *named])
    _, index = np.unique(both, return_inverse=True)
    groups, *each = index.reshape(-1, len(group_ids))
    largest = []
    for _ in range(RESAMPLES):
        dealt = generator.permutation(groups)
        largest.append(max(float(np.mean(one == dealt)) for one in each))
    return _around(float(np.mean(largest)), largest)


def _around(value: float, resampled: Sequence[float] | np.ndarray) -> Estimate:
    return Estimate(value, *np.nanquantile(resampled, [0.025, 0.975]).tolist())


def separate(tree: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part the estimates within nested dicts into values and intervals.

    Returns:
        `(values, intervals)`: the tree with every `Estimate` replaced by its
        value, and the same keys with `[low, high]` where there was one.
    """
    values: dict[str, Any] = {}
    intervals: dict[str, Any] = {}
    for key, item in tree.items():
        if isinstance(item, Estimate):
            values[key], intervals[key] = item.value, [item.low, item.high]
        elif isinstance(item, dict):
            values[key], within = separate(item)
            intervals |= {key: within} if within else {}
        else:
            values[key] = item
    return values, intervals
